# Without text prompts, the bare name: 77.8 top-1 (paper, from memory), about 0.5 below. Effective batch 128 (4
# x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_transf_8f_k400_name_only.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(prompts='name')
