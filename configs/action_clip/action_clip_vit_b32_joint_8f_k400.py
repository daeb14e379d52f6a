# Pre-network visual prompt: all frames in one sequence. 2.74 top-1 below MeanP (paper); the published code
# crashes here. Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_joint_8f_k400.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(pre_prompt='joint', post_prompt=None)
