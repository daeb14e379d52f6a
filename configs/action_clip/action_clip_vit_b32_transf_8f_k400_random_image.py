# Image tower from scratch: tens of points lower (paper). Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_transf_8f_k400_random_image.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(image_tower='random')
