# Objects365 and GoldG (Flickr30k Entities; Visual Genome and GQA without COCO's images), for GLIP-T (C).
_base_ = ['./glip_objects365.py']

flickr30k = dict(
    type='mmclip.ODVGDataset',
    data_root='data/flickr30k_entities/',
    ann_file='odvg_train.jsonl',
    data_prefix=dict(img='flickr30k_images/'),
    skip_bad_images=True,
    filter_cfg=dict(filter_empty_gt=True),
    pipeline={{_base_.grounding_pipeline}})
mixed = dict(
    type='mmclip.ODVGDataset',
    data_root='data/gqa/',
    ann_file='odvg_mixed_train_no_coco.jsonl',
    data_prefix=dict(img='images/'),
    skip_bad_images=True,
    filter_cfg=dict(filter_empty_gt=True),
    pipeline={{_base_.grounding_pipeline}})
train_dataloader = dict(
    # Shapes of images are not known beforehand once shards are among the data.
    batch_sampler=None,
    dataset=dict(
        _delete_=True,
        type='mmdet.ConcatDataset',
        datasets=[{{_base_.objects365}}, flickr30k, mixed]))
