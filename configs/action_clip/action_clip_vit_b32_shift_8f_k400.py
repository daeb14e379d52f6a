# In-network visual prompt: channels shifted between frames before every block. 5.38 top-1 below MeanP (paper).
# Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_shift_8f_k400.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(in_prompt='shift', post_prompt=dict(_delete_=True, type='mmclip.ActionMeanP'))
