# ViT-B/16, 8 frames, one view: 81.09 top-1, 95.49 top-5 (official README; not measured here). Effective batch
# 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b16_transf_8f_k400.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(model='ViT-B-16-quickgelu')
