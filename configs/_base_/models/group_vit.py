# GroupViT of the paper: two stages, 196 -> 64 -> 8 tokens, 28.8 M + 22.2 M weights and two projectors.
model = dict(
    type='mmclip.GroupViTSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        # ImageNet's, not CLIP's, in training and testing.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1,
        test_cfg=dict(size_divisor=1)),
    backbone=dict(
        type='mmclip.GroupViTBackbone',
        img_size=224,
        patch_size=16,
        embed_dim=384,
        depths=[6, 3, 3],
        num_heads=[6, 6, 6],
        num_group_tokens=[64, 8, 0],
        num_output_groups=[64, 8],
        drop_path_rate=0.1),
    decode_head=dict(
        type='mmclip.GroupViTHead',
        in_channels=384,
        text=dict(width=256, layers=12, context_length=77, vocab_size=49408),
        embed_dim=256,
        hidden=4096,
        prompts='single',
        multi_label=3,
        temperature=0.07),
    train_cfg=dict(chunk_size=None),
    test_cfg=dict(mode='slide', crop_size=(448, 448), stride=(224, 224), bg_thresh=0.95))
