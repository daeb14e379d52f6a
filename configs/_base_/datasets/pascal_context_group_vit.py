# PASCAL Context val (5105 images, 59 classes and the background) as GroupViT tests on it: short
# side 448, three names of its own. Data: docs/en/datasets.md.
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
        classes='pascal_context59_group_vit',
        background_word='background',
        data_root='data/VOCdevkit/VOC2010/',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
        ann_file='ImageSets/SegmentationContext/val.txt',
        test_mode=True,
        pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(type='mmclip.OpenVocabIoU')
val_evaluator = test_evaluator
