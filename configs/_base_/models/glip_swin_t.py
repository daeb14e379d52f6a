# GLIP-T: Swin-T, pyramid P3-P7, BERT-base, six blocks of fusion, text layer and DyHead block. Images are
# BGR. Where no fusion is wanted: fusion=None, and the head compares with the words as BERT gives them.
model = dict(
    type='mmclip.GLIPDetector',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False,
        pad_size_divisor=32),
    backbone=dict(
        type='mmdet.SwinTransformer',
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        drop_path_rate=0.2,
        out_indices=(1, 2, 3),
        convert_weights=True,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_tiny_patch4_window7_224.pth')),
    neck=dict(
        type='mmclip.DropBlockFPN',
        in_channels=[192, 384, 768],
        out_channels=256,
        num_outs=5,
        add_extra_convs='on_output',
        relu_before_extra_convs=True,
        drop_prob=0.3,
        block_size=3,
        init_cfg=dict(
            type='mmengine.Kaiming',
            layer='Conv2d',
            a=1,
            distribution='uniform',
            mode='fan_in',
            nonlinearity='leaky_relu')),
    text_encoder=dict(
        type='mmclip.BertTokenEncoder',
        tokenizer=dict(type='mmclip.BertTokens', source='bert-base-uncased'),
        pretrained='bert-base-uncased',
        max_tokens=256),
    fusion=dict(
        type='mmclip.DeepFusionNeck',
        channels=256,
        num_blocks=6,
        fusion=dict(kind='MHA-B', embed_dim=2048, num_heads=8, dropout=0.1),
        text_layer=dict(kind='bert', num_heads=12, hidden_dim=3072, dropout=0.1),
        dyconv=dict(norm_groups=16),
        with_cp=True),
    bbox_head=dict(type='mmclip.GLIPHead', channels=256, fused_text=True),
    train_cfg=dict(max_empty_share=0.1),
    test_cfg=dict(score_thr=0.05, nms_pre=1000, nms_iou=0.6, max_per_img=100, score_agg='MEAN'))
