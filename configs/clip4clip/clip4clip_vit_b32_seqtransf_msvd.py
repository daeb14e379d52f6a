# CLIP4Clip, ViT-B/32, seqTransf, MSVD: no figure of the paper at hand. Effective batch 128 (4 x 32).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_seqtransf_msvd.py
_base_ = './clip4clip_vit_b32_meanp_msvd.py'
model = dict(sim_head=dict(type='mmclip.SeqTransfHead'))
