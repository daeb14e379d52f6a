# CLIP4Clip, ViT-B/32, tightTransf, LSMDC: 18.9 R@1 text to video (paper, from memory; not measured
# here). Effective batch 128 (4 x 32).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_tighttransf_lsmdc.py
_base_ = './clip4clip_vit_b32_meanp_lsmdc.py'
model = dict(sim_head=dict(type='mmclip.TightTransfHead'))
