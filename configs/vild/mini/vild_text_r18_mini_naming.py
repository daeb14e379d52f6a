# Naming accuracy at ground-truth boxes: which of the 384 names each box gets, without detection.
# python tools/test.py configs/vild/mini/vild_text_r18_mini_naming.py CHECKPOINT
_base_ = './vild_text_r18_mini.py'
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmclip.ProposalsFromGT'),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'text',
                   'custom_entities', 'tokens_positive')),
]
model = dict(test_cfg=dict(rcnn=dict(per_proposal=True)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(_delete_=True, type='mmclip.NamingAccuracy')
test_evaluator = val_evaluator
