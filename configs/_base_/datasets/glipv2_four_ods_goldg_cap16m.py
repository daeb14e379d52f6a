# FourODs, GoldG and 16 million web captions (CC15M, SBU) with the boxes of a teacher, for GLIPv2-B: as
# glip_four_ods_goldg_cap24m.py, with CLIP's tokens.
_base_ = ['./glip_coco_test.py']

clip_tokens = dict(type='mmclip.CLIPTokens')
clip_caption = dict(type='mmclip.CaptionGrounding', tokenizer=clip_tokens)
clip_detection_pipeline = [
    {{_base_.load}},
    {{_base_.boxes}},
    {{_base_.resize}},
    {{_base_.flip}},
    dict(type='mmclip.DetToGrounding', tokenizer=clip_tokens, num_negatives=85),
    {{_base_.pack}},
]
clip_grounding_pipeline = [
    {{_base_.load}},
    {{_base_.boxes}},
    {{_base_.resize}},
    {{_base_.flip}},
    clip_caption,
    {{_base_.pack}},
]
clip_shards_pipeline = [
    {{_base_.boxes}},
    {{_base_.resize}},
    {{_base_.flip}},
    dict(type='mmclip.PackCaptions', tokenizer=clip_tokens),
    clip_caption,
    {{_base_.pack}},
]
detection_sets = [
    dict(
        type='mmclip.ODVGDataset',
        data_root=f'data/{root}/',
        ann_file='odvg_train.jsonl',
        label_map_file='label_map.json',
        data_prefix=dict(img=images),
        return_classes=True,
        skip_bad_images=True,
        pipeline=clip_detection_pipeline) for root, images in (
            ('objects365v1', 'train/'),
            ('open_images', 'train/'),
            ('visual_genome', 'images/'),
            ('imagenet_boxes', 'train/'),
        )
]
grounding_sets = [
    dict(
        type='mmclip.ODVGDataset',
        data_root=f'data/{root}/',
        ann_file=ann_file,
        data_prefix=dict(img=images),
        skip_bad_images=True,
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=clip_grounding_pipeline) for root, ann_file, images in (
            ('flickr30k_entities', 'odvg_train.jsonl', 'flickr30k_images/'),
            ('gqa', 'odvg_mixed_train_no_coco.jsonl', 'images/'),
        )
]
web_captions = dict(
    type='mmclip.GroundingShards',
    shards='data/cap16m/{00000..01599}.tar',
    labels='data/cap16m_glip_l',
    epoch_size=16_000_000,
    pipeline=clip_shards_pipeline)
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmdet.ConcatDataset', datasets=detection_sets + grounding_sets + [web_captions]))
