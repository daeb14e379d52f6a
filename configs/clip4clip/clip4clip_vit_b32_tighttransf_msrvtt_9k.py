# CLIP4Clip, ViT-B/32, tightTransf, MSR-VTT 9k / 1k-A: 40.2 R@1 text to video (paper, from memory; not measured
# here). Effective batch 128 (4 x 32).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_tighttransf_msrvtt_9k.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
model = dict(sim_head=dict(type='mmclip.TightTransfHead'))
