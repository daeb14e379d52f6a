# All processes' features are compared, but no gradient comes back from the others' losses (official).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_msrvtt_9k_official_gather.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
model = dict(loss=dict(gather='official'))
