# CLIP as it is, mean of 12 frames: 31.2 R@1 (paper, from memory; not measured here). Needs no checkpoint.
# python tools/test.py configs/clip4clip/clip4clip_vit_b32_meanp_msrvtt_1ka_zero_shot.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
needs_checkpoint = False  # `pretrained` is all there is
