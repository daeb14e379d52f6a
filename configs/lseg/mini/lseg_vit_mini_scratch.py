# The paper's architecture at toy size: a ViT with taps, reassembled into four maps. It starts from random
# weights: there is no small ViT to start from.
# python tools/train.py configs/lseg/mini/lseg_vit_mini_scratch.py
_base_ = './lseg_r18_mini.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmclip.DPTViT',
        model=dict(img_size=128, patch_size=8, embed_dim=96, depth=6, num_heads=3),
        out_indices=(1, 2, 4, 5)),
    decode_head=dict(
        in_channels=[96, 96, 96, 96],
        reassemble=dict(channels=[24, 48, 96, 192], patch_size=8, readout='project')))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.5))))
