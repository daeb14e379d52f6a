# Text tower from scratch: 1 to 2 top-1 lower (paper, from memory). Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_transf_8f_k400_random_text.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(text_tower='random')
