# 3D patches, the middle of the kernel from CLIP: below 2D in the paper.
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_3d_msrvtt_9k.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
model = dict(linear_patch='3d')
