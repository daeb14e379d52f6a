# FourODs (Objects365, OpenImages, Visual Genome, ImageNet boxes), GoldG and 24 million web captions with the
# boxes of a teacher, for GLIP-L.
_base_ = ['./glip_objects365_goldg.py']

open_images = dict(
    type='mmclip.ODVGDataset',
    data_root='data/open_images/',
    ann_file='odvg_train.jsonl',
    label_map_file='label_map.json',
    data_prefix=dict(img='train/'),
    return_classes=True,
    skip_bad_images=True,
    pipeline={{_base_.detection_pipeline}})
visual_genome = dict(
    type='mmclip.ODVGDataset',
    data_root='data/visual_genome/',
    ann_file='odvg_train.jsonl',
    label_map_file='label_map.json',
    data_prefix=dict(img='images/'),
    return_classes=True,
    skip_bad_images=True,
    pipeline={{_base_.detection_pipeline}})
imagenet = dict(
    type='mmclip.ODVGDataset',
    data_root='data/imagenet_boxes/',
    ann_file='odvg_train.jsonl',
    label_map_file='label_map.json',
    data_prefix=dict(img='train/'),
    return_classes=True,
    skip_bad_images=True,
    pipeline={{_base_.detection_pipeline}})
web_captions = dict(
    type='mmclip.GroundingShards',
    shards='data/cap24m/{00000..02399}.tar',
    labels='data/cap24m_glip_l',
    epoch_size=24_000_000,
    pipeline={{_base_.shards_pipeline}})
train_dataloader = dict(
    dataset=dict(
        datasets=[
            {{_base_.objects365}},
            open_images,
            visual_genome,
            imagenet,
            {{_base_.flickr30k}},
            {{_base_.mixed}},
            web_captions,
        ]))
