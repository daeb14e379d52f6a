# Phrases of MiniWorld's test captions: the IoU of their pixels beside the recall of their boxes.
_base_ = ['./mini_world_phrases.py']

test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False),
    dict(
        type='mmclip.CaptionGrounding',
        tokenizer=dict(type='mmclip.CLIPTokens'),
        max_tokens=128,
        apart=True),
    dict(type='mmclip.PackGroundingInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = [dict(type='mmclip.PhraseRecall'), dict(type='mmclip.PhraseMaskIoU')]
test_evaluator = val_evaluator
