# A GroupViT for MiniWorld's scenes of 64 px: one stage of one block, 8 groups, no block behind the grouping; no
# Gumbel noise, which a model this small does not survive (docs/en/methods/group_vit.md). With two blocks the
# patches of the background learn what else is in the image and take its words (colors: 18 mIoU, not 34).
# A group is the sum of its tokens and weights start wider than the paper's: in a handful of short runs (up to 1500
# iterations, one to two seeds) groups with their oracle labels then had 56 to 60 mIoU, and 30 to 47 with the mean.
# The background's threshold was chosen on the validation split.
model = dict(
    type='mmclip.GroupViTSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1,
        test_cfg=dict(size_divisor=1)),
    backbone=dict(
        type='mmclip.GroupViTBackbone',
        img_size=64,
        patch_size=8,
        embed_dim=64,
        depths=[1, 0],
        num_heads=[2, 2],
        num_group_tokens=[8, 0],
        num_output_groups=[8],
        sum_assign=True,
        init_std=0.09,
        drop_path_rate=0.0,
        gumbel=False),
    decode_head=dict(
        type='mmclip.GroupViTHead',
        in_channels=64,
        text=dict(width=64, layers=2, context_length=32),
        embed_dim=64,
        hidden=256,
        prompts='name',
        multi_label=3),
    train_cfg=dict(chunk_size=None),
    test_cfg=dict(mode='whole', bg_thresh=0.5))
