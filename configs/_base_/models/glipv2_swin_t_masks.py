# GLIPv2-T with its mask head: 14 x 14 from P3 to P7 by size, four convolutions, 28 x 28 logits per word.
_base_ = './glipv2_swin_t.py'

model = dict(
    bbox_head=dict(
        mask_head=dict(
            type='mmclip.TokenMaskHead', in_channels=256, num_convs=4, conv_channels=256),
        mask_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[8, 16, 32, 64, 128],
            finest_scale=112)))
