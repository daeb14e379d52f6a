# COCO-Object val2017 (5000 images, 80 classes and the background): masks by
# tools/dataset_converters/coco_object.py out of COCO-Stuff's. Short side 448. Data: docs/en/datasets.md.
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmseg.Resize', scale=(2048, 448), keep_ratio=True),
    dict(type='mmclip.LoadSegMap'),
    dict(type='mmseg.PackSegInputs'),
]
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabSegDataset',
        classes='coco80',
        background_word='background',
        data_root='data/coco/',
        data_prefix=dict(img_path='val2017', seg_map_path='annotations/coco_object/val2017'),
        test_mode=True,
        pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(type='mmclip.OpenVocabIoU')
val_evaluator = test_evaluator
