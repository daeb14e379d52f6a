# MiniWorld detection and grounding together with masks, for GLIPv2: as mini_world_glip_grounding.py, and masks of
# all boxes; box and mask AP.
_base_ = ['./mini_world_glip_grounding.py']

masks = dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False)
detection_masks_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    masks,
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='mmclip.DetToGrounding',
        tokenizer={{_base_.tokenizer}},
        max_tokens={{_base_.max_tokens}},
        num_negatives=20,
        negatives='mini_world'),
    dict(type='mmclip.PackGroundingInputs'),
]
caption_masks_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    masks,
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(
        type='mmclip.PackCaptions',
        tokenizer={{_base_.tokenizer}},
        max_tokens={{_base_.max_tokens}},
        none_prob=0.2,
        apart=True),
    dict(
        type='mmclip.CaptionGrounding',
        tokenizer={{_base_.tokenizer}},
        max_tokens={{_base_.max_tokens}}),
    dict(type='mmclip.PackGroundingInputs'),
]
referring_masks_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    masks,
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(
        type='mmclip.CaptionGrounding',
        tokenizer={{_base_.tokenizer}},
        max_tokens={{_base_.max_tokens}},
        apart=True),
    dict(type='mmclip.PackGroundingInputs'),
]
detection_masks = dict(
    type='mmclip.OpenVocabLVISDataset',
    data_root='data/mini_world/detection/',
    ann_file='annotations/lvis_train.json',
    data_prefix=dict(img=''),
    drop_novel_boxes=True,
    return_classes=True,
    filter_cfg=dict(filter_empty_gt=False),
    pipeline=detection_masks_pipeline)
caption_masks = dict(
    type='mmclip.ODVGDataset',
    data_root='data/mini_world/grounding/',
    ann_file='train.jsonl',
    data_prefix=dict(img='images/'),
    filter_cfg=dict(filter_empty_gt=True),
    pipeline=caption_masks_pipeline)
referring_masks = dict(
    type='mmclip.ODVGDataset',
    data_root='data/mini_world/grounding/',
    ann_file='refer_train.jsonl',
    data_prefix=dict(img='images/'),
    filter_cfg=dict(filter_empty_gt=True),
    pipeline=referring_masks_pipeline)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmdet.ConcatDataset',
        datasets=[detection_masks, caption_masks, referring_masks]))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = dict(metric=['bbox', 'segm'])
