# GLIP-L fine-tuned on COCO, tested at twelve scales with mirror images (61.7 AP on val2017 in the official
# README; not measured here). Small objects are taken from large images and large ones from small.
# Test: bash tools/dist_test.sh configs/glip/glip_l_swin-l_coco_multi_scale.py glip.pth 8 --tta
_base_ = './glip_l_swin-l_coco_finetune.py'

# A view keeps all its candidates; suppression comes once, over all views.
model = dict(test_cfg=dict(nms_iou=1.0, max_per_img=-1))
tta_model = dict(
    type='mmclip.ScaleRangeTTA',
    ranges=[(96, 10000), (96, 10000), (64, 10000), (64, 10000), (64, 10000), (0, 10000), (0, 10000), (0, 256),
            (0, 256), (0, 192), (0, 192), (0, 96)],
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.6), max_per_img=1000))
tta_pipeline = [
    {{_base_.load}},
    dict(
        type='mmcv.TestTimeAug',
        transforms=[
            [
                dict(type='mmdet.FixScaleResize', scale=(side, 2500), keep_ratio=True, backend='pillow')
                for side in (400, 500, 600, 640, 700, 900, 1000, 1100, 1200, 1300, 1400, 1800)
            ],
            [dict(type='mmdet.RandomFlip', prob=0.0), dict(type='mmdet.RandomFlip', prob=1.0)],
            [
                dict(
                    type='mmdet.PackDetInputs',
                    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip',
                               'flip_direction'))
            ],
        ]),
]
