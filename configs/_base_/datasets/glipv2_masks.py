# Masks: COCO, LVIS v1 and PhraseCut (tools/dataset_converters/phrase_cut.py) together, tested on COCO val2017.
_base_ = ['./glip_coco_test.py']

masks = dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False)
detection_masks_pipeline = [
    {{_base_.load}},
    masks,
    {{_base_.resize}},
    {{_base_.flip}},
    dict(type='mmclip.DetToGrounding', tokenizer={{_base_.tokenizer}}, num_negatives=85),
    {{_base_.pack}},
]
phrase_masks_pipeline = [
    {{_base_.load}},
    masks,
    {{_base_.resize}},
    {{_base_.caption}},
    {{_base_.pack}},
]
coco = dict(
    type='mmclip.OpenVocabLVISDataset',
    data_root='data/coco/',
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img='train2017/'),
    return_classes=True,
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    pipeline=detection_masks_pipeline)
lvis = dict(
    type='mmclip.OpenVocabLVISDataset',
    data_root='data/lvis_v1/',
    ann_file='annotations/lvis_v1_train.json',
    data_prefix=dict(img=''),
    return_classes=True,
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    pipeline=detection_masks_pipeline)
phrase_cut = dict(
    type='mmclip.ODVGDataset',
    data_root='data/phrase_cut/',
    ann_file='odvg_train.jsonl',
    data_prefix=dict(img='images/'),
    filter_cfg=dict(filter_empty_gt=True),
    pipeline=phrase_masks_pipeline)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(type='mmdet.ConcatDataset', datasets=[coco, lvis, phrase_cut]))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
