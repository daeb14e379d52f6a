# COCO 2017 with masks: fine-tuning with all 80 classes in one caption, box and mask AP.
_base_ = ['./glip_coco.py']

all_classes_masks_pipeline = [
    {{_base_.load}},
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False),
    {{_base_.resize}},
    {{_base_.flip}},
    dict(type='mmclip.DetToGrounding', tokenizer={{_base_.tokenizer}}, all_classes=True),
    {{_base_.pack}},
]
train_dataloader = dict(dataset=dict(load_masks=True, pipeline=all_classes_masks_pipeline))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
