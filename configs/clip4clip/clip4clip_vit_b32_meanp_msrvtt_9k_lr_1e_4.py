# Rate of CLIP 1e-4 instead of 1e-5: the rate is the most sensitive setting (paper).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_msrvtt_9k_lr_1e_4.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
