# GLIP for MiniWorld: the mini CLIP's image trunk (strides 8 to 32), 64 channels, three blocks. Each
# phrase is read apart by the mini CLIP's text tower, which has learnt features of whole texts only, not of
# tokens. Objects are 26 to 56 px of 128.
model = dict(
    type='mmclip.GLIPDetector',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='mmclip.CLIPTrunk', model='mini_clip', pretrained='mini_clip', out_indices=(2, 3, 4)),
    neck=dict(type='mmdet.FPN', in_channels=[48, 96, 192], out_channels=64, num_outs=3),
    text_encoder=dict(
        type='mmclip.CLIPTokenEncoder',
        model='mini_clip',
        pretrained='mini_clip',
        max_tokens=128,
        apart=True,
        eps=1e-5),
    fusion=dict(
        type='mmclip.DeepFusionNeck',
        channels=64,
        num_blocks=3,
        fusion=dict(kind='MHA-B', embed_dim=256, num_heads=4, dropout=0.0),
        text_layer=dict(kind='clip', num_heads=4),
        dyconv=dict(norm_groups=8)),
    bbox_head=dict(
        type='mmclip.GLIPHead',
        channels=64,
        fused_text=True,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=5,
            scales_per_octave=1,
            strides=[8, 16, 32],
            center_offset=0.5)),
    test_cfg=dict(score_thr=0.02, nms_pre=300, nms_iou=0.5, max_per_img=100, chunks_per_pass=8))
