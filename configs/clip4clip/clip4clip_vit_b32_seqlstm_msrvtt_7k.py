# CLIP4Clip, ViT-B/32, seqLSTM, MSR-VTT 7k / 1k-A: 41.7 R@1 text to video (paper, from memory; not measured
# here). Effective batch 128 (4 x 32).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_seqlstm_msrvtt_7k.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_7k.py'
model = dict(sim_head=dict(type='mmclip.SeqLSTMHead'))
