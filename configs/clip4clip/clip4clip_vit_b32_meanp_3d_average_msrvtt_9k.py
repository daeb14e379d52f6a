# 3D patches, a third of CLIP's kernel in each of three frames (ViViT's other start; not in the official code).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_3d_average_msrvtt_9k.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
model = dict(linear_patch='3d', patch_init='average')
