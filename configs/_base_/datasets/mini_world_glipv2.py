# MiniWorld detection and grounding together with masks, for GLIPv2: the mixture of mini_world_glip_grounding.py, with
# masks of all boxes; box and mask AP.
_base_ = ['./mini_world_glip_grounding.py']

load = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
]
detection_dataset = dict(
    _base_.detection.dataset,
    load_masks=True,
    pipeline=[*load, dict(type='mmdet.RandomFlip', prob=0.5), *_base_.train_pipeline[-2:]])
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(_base_.detection, dataset=detection_dataset),
            dict(_base_.captions, pipeline=[*load, *_base_.caption_texts]),
            dict(_base_.referring, pipeline=[*load, *_base_.referring_texts]),
        ]))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = dict(metric=['bbox', 'segm'])
