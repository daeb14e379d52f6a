# COCO val2017, all 80 classes, 100 detections per image.
_base_ = ['./glip_pipelines.py']

val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root='data/coco/',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        load_masks=False,
        test_mode=True,
        pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmclip.OpenVocabLVISMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    max_dets=100,
    prefix='coco')
test_evaluator = val_evaluator
