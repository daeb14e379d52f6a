# Each process compares its own pairs only with the others' features, without their gradients (official).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_msrvtt_9k_no_gather.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
model = dict(loss=dict(gather='official'))
