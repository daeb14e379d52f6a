# ViT-B/16, 16 frames, one view: 81.68 top-1, 95.87 top-5 (official README; not measured here). Effective batch
# 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b16_transf_16f_k400.py
_base_ = './action_clip_vit_b16_transf_8f_k400.py'
model = dict(num_frames=16)
train_dataloader = dict(dataset=dict(num_segments=16))
val_dataloader = dict(dataset=dict(num_segments=16))
test_dataloader = dict(dataset=dict(num_segments=16))
