# ViLD's Mask R-CNN with ResNet-50, as the official configuration has it: trained from scratch, batch norm
# everywhere (synchronized over GPUs), two convolutions in the RPN with norms of each level's own, four
# convolutions and two dense layers in the box head, everything class-agnostic behind the classifier.
norm_cfg = dict(type='BN', eps=1e-4, momentum=0.003, requires_grad=True)
fc_norm_cfg = dict(type='mmengine.BN1d', eps=1e-4, momentum=0.003, requires_grad=True)
biased_conv = dict(type='mmclip.BiasedConv2d')

model = dict(
    type='mmclip.ViLD',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=64,
        batch_augments=[
            dict(
                type='mmdet.BatchFixedSizePad',
                size=(1024, 1024),
                img_pad_value=0,
                pad_mask=True,
                mask_pad_value=0)
        ]),
    backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch'),
    neck=dict(
        type='mmclip.EndNormFPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        num_outs=5,
        add_extra_convs='on_output',
        end_norm_cfg=norm_cfg),
    rpn_head=dict(
        type='mmclip.SepBNRPNHead',
        in_channels=256,
        feat_channels=256,
        num_convs=2,
        norm_cfg=norm_cfg,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator',
            scales=[8],
            ratios=[1.0, 0.5, 2.0],
            strides=[4, 8, 16, 32, 64],
            center_offset=0.5),
        bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder', target_stds=[1.0, 1.0, 1.0, 1.0]),
        loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        # The weight only: mmclip.SepBNRPNHead has a Huber loss of its own.
        loss_bbox=dict(type='mmdet.L1Loss', loss_weight=1.0)),
    roi_head=dict(
        type='mmdet.StandardRoIHead',
        bbox_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32, 64]),
        bbox_head=dict(
            type='mmclip.ViLDBBoxHead',
            num_shared_convs=4,
            num_shared_fcs=2,
            in_channels=256,
            conv_out_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            conv_cfg=biased_conv,
            norm_cfg=norm_cfg,
            fc_norm_cfg=fc_norm_cfg,
            bbox_coder=dict(
                type='mmdet.DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
            classifier=dict(
                type='mmclip.TextEmbeddingClassifier',
                text_encoder=dict(
                    type='mmclip.CLIPTextEncoder',
                    model='ViT-B-32-quickgelu',
                    pretrained='openai'),
                prompts='vild_63',
                vocabulary_file='data/vocabularies/{vocabulary}_{model}.safetensors',
                background='learned',
                temperature=0.01),
            box_average='positive',
            loss_cls=dict(type='mmdet.CrossEntropyLoss'),
            loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1.0)),
        mask_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32, 64]),
        mask_head=dict(
            type='mmclip.ViLDMaskHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            conv_cfg=biased_conv,
            norm_cfg=norm_cfg,
            loss_mask=dict(type='mmdet.CrossEntropyLoss', use_mask=True))),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type='mmdet.MaxIoUAssigner',
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                min_pos_iou=0.0,
                match_low_quality=True,
                ignore_iof_thr=-1),
            sampler=dict(
                type='mmdet.RandomSampler',
                num=256,
                pos_fraction=0.5,
                neg_pos_ub=-1,
                add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False),
        rpn_proposal=dict(
            nms_pre=2000,
            max_per_img=1000,
            nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type='mmdet.MaxIoUAssigner',
                # The next float above 0.5: foreground is an IoU strictly above one half.
                pos_iou_thr=0.50000006,
                neg_iou_thr=0.5,
                min_pos_iou=0.50000006,
                match_low_quality=False,
                ignore_iof_thr=-1),
            sampler=dict(
                type='mmdet.RandomSampler',
                num=512,
                pos_fraction=0.25,
                neg_pos_ub=-1,
                add_gt_as_proposals=True),
            mask_size=28,
            pos_weight=-1,
            debug=False)),
    test_cfg=dict(
        rpn=dict(
            nms_pre=1000,
            max_per_img=1000,
            nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=0),
        rcnn=dict(
            score_thr=0.0,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=300,
            mask_thr_binary=0.5)))
