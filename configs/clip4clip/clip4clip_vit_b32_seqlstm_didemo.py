# CLIP4Clip, ViT-B/32, seqLSTM, DiDeMo, paragraphs: no figure of the paper at hand. Effective batch 128 (8 x 16).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_seqlstm_didemo.py
_base_ = './clip4clip_vit_b32_meanp_didemo.py'
model = dict(sim_head=dict(type='mmclip.SeqLSTMHead'))
