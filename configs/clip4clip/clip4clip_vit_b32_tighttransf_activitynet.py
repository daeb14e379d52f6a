# CLIP4Clip, ViT-B/32, tightTransf, ActivityNet, paragraphs: 19.5 R@1 text to video (paper, from memory; not measured
# here). Effective batch 128 (8 x 16).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_tighttransf_activitynet.py
_base_ = './clip4clip_vit_b32_meanp_activitynet.py'
model = dict(sim_head=dict(type='mmclip.TightTransfHead'))
