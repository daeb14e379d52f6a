# Frozen text tower, its features cached in training too. No figure known. Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_transf_8f_k400_fix_text.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(fix_text=True)
