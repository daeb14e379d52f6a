# The paper's baseline without words, with one logit per class: DyHead-T on COCO by MMDetection's own parts.
# Train: bash tools/dist_train.sh configs/glip/dyhead_swin-t_coco.py 16
# Test:  python tools/test.py configs/glip/dyhead_swin-t_coco.py CHECKPOINT
# Effective batch 32.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t.py',
    '../_base_/datasets/glip_coco.py',
    '../_base_/schedules/glip_finetune.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

pyramid = dict(
    type='mmdet.FPN',
    in_channels=[192, 384, 768],
    out_channels=256,
    num_outs=5,
    add_extra_convs='on_output',
    relu_before_extra_convs=True)
dyhead = dict(
    type='mmdet.DyHead', in_channels=256, out_channels=256, num_blocks=6, zero_init_offset=False)
model = dict(
    _delete_=True,
    type='mmdet.ATSS',
    data_preprocessor={{_base_.model.data_preprocessor}},
    backbone={{_base_.model.backbone}},
    neck=[pyramid, dyhead],
    bbox_head=dict(
        type='mmdet.ATSSHead',
        num_classes=80,
        in_channels=256,
        stacked_convs=0,
        pred_kernel_size=1,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8, 16, 32, 64, 128],
            center_offset=0.5),
        bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder', target_stds=(0.1, 0.1, 0.2, 0.2)),
        loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=2.0),
        loss_centerness=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)),
    train_cfg=dict(
        assigner=dict(type='mmdet.ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=100))
optim_wrapper = dict(optimizer=dict(lr=1e-4))  # from ImageNet, not from GLIP's pre-training
custom_hooks = [
    dict(
        type='mmengine.EMAHook',
        ema_type='mmengine.ExponentialMovingAverage',
        momentum=0.001,
        priority='ABOVE_NORMAL')
]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            {{_base_.load}},
            {{_base_.boxes}},
            {{_base_.resize}},
            {{_base_.flip}},
            dict(type='mmdet.PackDetInputs'),
        ]))
