# ViLD with the official released weights, converted: TensorFlow's padding, resizing and pixel
# conventions. Released R50 weights: mask AP_r 16.6, AP 22.5 (their README); not measured here.
#   python tools/convert_checkpoint.py vild OFFICIAL_FOLDER vild_r50.pth
# Test: python tools/test.py configs/vild/vild_r50_lvis_tf.py vild_r50.pth
_base_ = './vild_r50_lvis.py'
rois = dict(type='mmclip.CenterRoIExtractor', roi_layer=dict(_delete_=True, output_size=7))
model = dict(
    backbone=dict(type='mmclip.SamePoolResNet'),
    neck=dict(conv_cfg=dict(type='mmclip.SameConv2d')),
    rpn_head=dict(bbox_coder=dict(_delete_=True, type='mmclip.LegacyDeltaXYWHBBoxCoder')),
    roi_head=dict(
        bbox_roi_extractor=rois,
        bbox_head=dict(
            novel_mask='official',
            official_padding=True,
            bbox_coder=dict(
                _delete_=True, type='mmclip.LegacyDeltaXYWHBBoxCoder', weights=[10.0, 10.0, 5.0, 5.0])),
        mask_roi_extractor=dict(
            type='mmclip.CenterRoIExtractor', roi_layer=dict(_delete_=True, output_size=14)),
        mask_head=dict(target_crop_size=112)),
    train_cfg=dict(rpn_proposal=dict(min_bbox_size=-1)),
    test_cfg=dict(rpn=dict(min_bbox_size=-1), rcnn=dict(per_class=1000)))
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmclip.TFResize', scale=(1024, 1024)),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'text',
                   'custom_entities', 'tokens_positive')),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
