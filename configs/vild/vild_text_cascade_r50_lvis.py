# ViLD-text as Cascade R-CNN with masks: three stages of growing overlap, each with its own text
# classifier; their logits are averaged. No figure in the paper.
# Train: tools/dist_train.sh configs/vild/vild_text_cascade_r50_lvis.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = './vild_text_r50_lvis.py'
norm_cfg = dict(type='BN', eps=1e-4, momentum=0.003, requires_grad=True)
bbox_heads = [
    dict(
        type='mmclip.ViLDBBoxHead',
        num_shared_convs=4,
        num_shared_fcs=2,
        in_channels=256,
        conv_out_channels=256,
        fc_out_channels=1024,
        roi_feat_size=7,
        conv_cfg=dict(type='mmclip.BiasedConv2d'),
        norm_cfg=norm_cfg,
        fc_norm_cfg=dict(type='mmengine.BN1d', eps=1e-4, momentum=0.003, requires_grad=True),
        bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder', target_stds=stds),
        classifier=dict(
            type='mmclip.TextEmbeddingClassifier',
            text_encoder=dict(
                type='mmclip.CLIPTextEncoder', model='ViT-B-32-quickgelu', pretrained='openai'),
            prompts='vild_63',
            vocabulary_file='data/vocabularies/{vocabulary}_{model}.safetensors',
            background='learned',
            temperature=0.01),
        box_average='positive',
        loss_cls=dict(type='mmdet.CrossEntropyLoss'),
        loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1.0))
    for stds in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067])
]
stages = [
    dict(
        assigner=dict(
            type='mmdet.MaxIoUAssigner',
            pos_iou_thr=iou,
            neg_iou_thr=iou,
            min_pos_iou=iou,
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
        debug=False) for iou in (0.5, 0.6, 0.7)
]
model = dict(
    roi_head=dict(
        type='mmclip.ViLDCascadeRoIHead',
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_head=dict(_delete_=True),
        mask_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32, 64])),
    train_cfg=dict(rcnn=stages))
model['roi_head']['bbox_head'] = bbox_heads
