# LVIS v1 minival (5000 images of COCO val2017): plain AP (300 detections per image) and fixed AP, with
# 1203 classes in chunks.
_base_ = ['./glip_pipelines.py']

ann_file = 'annotations/lvis_v1_minival_inserted_image_name.json'
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root='data/lvis_v1/',
        ann_file=ann_file,
        data_prefix=dict(img='val2017/'),
        load_masks=False,
        test_mode=True,
        pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmclip.OpenVocabLVISMetric',
    ann_file='data/lvis_v1/' + ann_file,
    max_dets=300,
    fixed_ap=True)
test_evaluator = val_evaluator
