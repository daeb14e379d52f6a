# MSR-VTT from a post-pretrained start (clip4clip_vit_b32_meanp_howto100m.py).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_msrvtt_9k_post_pretrained.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
load_from = 'work_dirs/clip4clip_vit_b32_meanp_howto100m/epoch_5.pth'
