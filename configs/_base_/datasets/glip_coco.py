# COCO 2017: fine-tuning with all 80 classes in one caption, in order.
_base_ = ['./glip_coco_test.py']

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root='data/coco/',
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        load_masks=False,
        return_classes=True,
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline={{_base_.all_classes_pipeline}}))
