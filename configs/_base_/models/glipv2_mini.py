# GLIPv2 for MiniWorld as it is tested: GLIP's mini model with a small mask head, 7 x 7 to 14 x 14.
_base_ = './glip_mini.py'

model = dict(
    type='mmclip.GLIPv2Detector',
    bbox_head=dict(
        type='mmclip.GLIPv2Head',
        mask_head=dict(
            type='mmclip.TokenMaskHead', in_channels=64, num_convs=2, conv_channels=64),
        mask_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2),
            out_channels=64,
            featmap_strides=[8, 16],
            finest_scale=112)))
