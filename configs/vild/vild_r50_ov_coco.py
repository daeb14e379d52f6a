# ViLD on OV-COCO 48/17 (paper, table 6: AP50 novel 27.6, base 59.5 [from memory], all 51.3; generalized
# protocol). 45 000 iterations (from memory of the paper). The results' names tell the protocol's variant.
# Before: the region store, as for LVIS, of data/coco/annotations/ov_coco_train2017_base.json.
# Train: tools/dist_train.sh configs/vild/vild_r50_ov_coco.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/vild_r50.py',
    '../_base_/datasets/ov_coco_detection.py',
    '../_base_/schedules/vild_180k.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [dict(type='mmclip.VocabularyHook'), dict(type='mmclip.RegionStoreHook')]
sync_bn = 'torch'
model = dict(
    data_preprocessor=dict(
        pad_mask=False,
        batch_augments=[
            dict(type='mmdet.BatchFixedSizePad', size=(1024, 1024), img_pad_value=0)
        ]),
    roi_head=dict(
        type='mmclip.ViLDRoIHead',
        loss_distill=dict(type='mmclip.L1DistillLoss', loss_weight=0.5),
        bbox_head=dict(classifier=dict(vocabulary_file=None)),
        mask_roi_extractor=None,
        mask_head=None))
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(
        type='mmclip.LoadTeacherEmbeddings',
        store='data/regions/ov_coco_ViT-B-32',
        max_regions=300,
        model='ViT-B-32-quickgelu'),
    dict(type='mmclip.PackTeacherRegions'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_iters=45000, val_interval=5000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=1000),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        begin=0,
        end=45000,
        milestones=[40500, 42750, 43875],
        gamma=0.1),
]
