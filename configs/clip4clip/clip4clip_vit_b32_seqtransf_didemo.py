# CLIP4Clip, ViT-B/32, seqTransf, DiDeMo, paragraphs: 42.8 R@1 text to video (paper, from memory; not measured
# here). Effective batch 128 (8 x 16).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_seqtransf_didemo.py
_base_ = './clip4clip_vit_b32_meanp_didemo.py'
model = dict(sim_head=dict(type='mmclip.SeqTransfHead'))
