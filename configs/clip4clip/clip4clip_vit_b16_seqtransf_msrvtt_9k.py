# ViT-B/16 with seqTransf.
# python tools/train.py configs/clip4clip/clip4clip_vit_b16_seqtransf_msrvtt_9k.py
_base_ = './clip4clip_vit_b32_seqtransf_msrvtt_9k.py'
model = dict(model='ViT-B-16-quickgelu')
