# ViLD-text for MiniWorld: the mini CLIP's image trunk, FPN of 64 channels, a box head that names regions
# by embedded words. Objects are 26 to 56 px, so RoIs are read from strides 4 to 16.
model = dict(
    type='mmclip.ViLD',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(type='mmclip.CLIPTrunk', model='mini_clip', pretrained='mini_clip'),
    neck=dict(type='mmdet.FPN', in_channels=[24, 48, 96, 192], out_channels=64, num_outs=4),
    rpn_head=dict(
        type='mmdet.RPNHead',
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator', scales=[6, 8.5], ratios=[1.0], strides=[4, 8, 16, 32]),
        bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='mmdet.L1Loss')),
    roi_head=dict(
        type='mmdet.StandardRoIHead',
        bbox_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2),
            out_channels=64,
            featmap_strides=[4, 8, 16],
            finest_scale=112),
        bbox_head=dict(
            type='mmclip.ViLDBBoxHead',
            num_shared_fcs=2,
            in_channels=64,
            fc_out_channels=256,
            roi_feat_size=7,
            bbox_coder=dict(
                type='mmdet.DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
            classifier=dict(
                type='mmclip.TextEmbeddingClassifier',
                text_encoder=dict(
                    type='mmclip.CLIPTextEncoder', model='mini_clip', pretrained='mini_clip'),
                prompts='single',
                background='learned',
                temperature=0.03),
            loss_cls=dict(type='mmdet.CrossEntropyLoss'),
            loss_bbox=dict(type='mmdet.L1Loss'))),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type='mmdet.MaxIoUAssigner',
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                min_pos_iou=0.3,
                ignore_iof_thr=-1),
            sampler=dict(
                type='mmdet.RandomSampler',
                num=128,
                pos_fraction=0.5,
                neg_pos_ub=-1,
                add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False),
        rpn_proposal=dict(
            nms_pre=200, max_per_img=100, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type='mmdet.MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=-1),
            sampler=dict(
                type='mmdet.RandomSampler',
                num=48,
                pos_fraction=0.4,
                neg_pos_ub=-1,
                add_gt_as_proposals=True),
            pos_weight=-1,
            debug=False)),
    test_cfg=dict(
        rpn=dict(
            nms_pre=200, max_per_img=50, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            score_thr=0.005, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)))
