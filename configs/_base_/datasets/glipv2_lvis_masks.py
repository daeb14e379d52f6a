# LVIS v1 with masks: fine-tuning, fixed AP of boxes and masks on minival.
_base_ = ['./glip_lvis.py']

lvis_masks_pipeline = [
    {{_base_.load}},
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False),
    {{_base_.resize}},
    {{_base_.flip}},
    dict(
        type='mmclip.DetToGrounding',
        tokenizer={{_base_.tokenizer}},
        num_negatives=85,
        full_prob=1.0),
    {{_base_.pack}},
]
train_dataloader = dict(dataset=dict(load_masks=True, pipeline=lvis_masks_pipeline))
minival = 'annotations/lvis_v1_minival_inserted_image_name.json'
val_dataloader = dict(dataset=dict(ann_file=minival, data_prefix=dict(img='val2017/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/lvis_v1/' + minival, metric=['bbox', 'segm'])
test_evaluator = val_evaluator
