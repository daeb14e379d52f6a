# Only the prefix templates. No figure known. Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_transf_8f_k400_prefix.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(prompts='action_clip_prefix')
