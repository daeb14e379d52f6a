# ViT-B/16, 32 frames, one view: 82.32 top-1, 96.20 top-5 (official README; not measured here). Effective batch
# 128 (4 x 32). with_cp=True in the model halves the memory.
# python tools/train.py configs/action_clip/action_clip_vit_b16_transf_32f_k400.py
_base_ = './action_clip_vit_b16_transf_8f_k400.py'
model = dict(num_frames=32)
train_dataloader = dict(dataset=dict(num_segments=32))
val_dataloader = dict(dataset=dict(num_segments=32))
test_dataloader = dict(dataset=dict(num_segments=32))
