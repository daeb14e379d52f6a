# LVIS v1: training on its boxes, tests on the whole validation set (19 809 images). Of all 1203 names
# 85 are drawn for each caption, which holds as many as fit.
_base_ = ['./glip_lvis_minival.py']

lvis_pipeline = [
    {{_base_.load}},
    {{_base_.boxes}},
    {{_base_.resize}},
    {{_base_.flip}},
    dict(
        type='mmclip.DetToGrounding',
        tokenizer={{_base_.tokenizer}},
        num_negatives=85,
        full_prob=1.0),
    {{_base_.pack}},
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root='data/lvis_v1/',
        ann_file='annotations/lvis_v1_train.json',
        data_prefix=dict(img=''),
        load_masks=False,
        return_classes=True,
        filter_cfg=dict(filter_empty_gt=False, min_size=32),
        pipeline=lvis_pipeline))
val_dataloader = dict(
    dataset=dict(
        ann_file='annotations/lvis_v1_val.json', data_prefix=dict(img='')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/lvis_v1/annotations/lvis_v1_val.json')
test_evaluator = val_evaluator
