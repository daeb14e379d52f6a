# MiniWorld detection and grounding together (`python tools/make_mini_world.py --out data/mini_world` makes
# the part 'grounding'): captions with phrases, and captions that mean one thing. Their images are not
# flipped, because captions say 'leftmost'. Every phrase of a caption is in its image; what is absent is learnt from
# detection, three quarters of the mixture, and from phrases of other captions (PackCaptions). Referring captions name
# one thing of their image only, so nothing can be said to be absent there.
_base_ = ['./mini_world_glip.py']

grounding_root = 'data/mini_world/grounding/'

load = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
]
referring_texts = [
    dict(
        type='mmclip.CaptionGrounding',
        tokenizer=_base_.tokenizer,
        max_tokens=_base_.max_tokens,
        apart=True),
    dict(type='mmclip.PackGroundingInputs'),
]
caption_texts = [
    dict(
        type='mmclip.PackCaptions',
        tokenizer=_base_.tokenizer,
        max_tokens=_base_.max_tokens,
        none_prob=0.2,
        apart=True),
    dict(
        type='mmclip.CaptionGrounding',
        tokenizer=_base_.tokenizer,
        max_tokens=_base_.max_tokens),
    dict(type='mmclip.PackGroundingInputs'),
]
detection = dict(
    type='mmengine.RepeatDataset', times=6, dataset={{_base_.train_dataloader.dataset}})
captions = dict(
    type='mmclip.ODVGDataset',
    data_root=grounding_root,
    ann_file='train.jsonl',
    data_prefix=dict(img='images/'),
    filter_cfg=dict(filter_empty_gt=True),
    pipeline=[*load, *caption_texts])
referring = dict(
    type='mmclip.ODVGDataset',
    data_root=grounding_root,
    ann_file='refer_train.jsonl',
    data_prefix=dict(img='images/'),
    filter_cfg=dict(filter_empty_gt=True),
    pipeline=[*load, *referring_texts])
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmdet.ConcatDataset',
        datasets=[detection, captions, referring]))
