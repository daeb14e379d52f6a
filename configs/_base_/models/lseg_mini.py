# LSeg for MiniWorld: the mini CLIP's image trunk (strides 4 to 32), a decoder of 64 channels, words from the
# mini CLIP's frozen text tower. The loss is taken at every fourth pixel.
# The temperature is near the mini CLIP's own (0.04); 0.07 was worse on names without masks. Words stand in a sentence
# ('a photo of a background.'): bare ones were far worse (configs/lseg/README.md).
model = dict(
    type='mmclip.OpenVocabSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305],
        bgr_to_rgb=True,
        seg_pad_val=65535,
        size_divisor=32,
        test_cfg=dict(size_divisor=32)),
    backbone=dict(type='mmclip.CLIPTrunk', model='mini_clip', pretrained='mini_clip'),
    decode_head=dict(
        type='mmclip.LSegHead',
        in_channels=[24, 48, 96, 192],
        channels=64,
        num_classes=384,
        norm_cfg=dict(type='BN'),
        classifier=dict(
            type='mmclip.TextEmbeddingClassifier',
            text_encoder=dict(
                type='mmclip.CLIPTextEncoder', model='mini_clip', pretrained='mini_clip'),
            prompts='single',
            background=None,
            temperature=0.03),
        loss_stride=4,
        ignore_index=65535,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
