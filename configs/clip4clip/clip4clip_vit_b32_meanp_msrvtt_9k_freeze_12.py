# 12 blocks of either tower frozen: no better than none (paper).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_msrvtt_9k_freeze_12.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
model = dict(freeze_layer_num=12)
