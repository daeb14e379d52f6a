# CLIP4Clip, ViT-B/32, seqTransf, ActivityNet, paragraphs: no figure of the paper at hand. Effective batch 128 (8 x 16).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_seqtransf_activitynet.py
_base_ = './clip4clip_vit_b32_meanp_activitynet.py'
model = dict(sim_head=dict(type='mmclip.SeqTransfHead'))
