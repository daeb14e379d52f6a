# The unimodal baseline, a classifier of 400 rows: about 75.4 top-1 (paper, from memory). Effective batch 128 (4
# x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_unimodal_8f_k400.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(
    _delete_=True,
    type='mmclip.UnimodalActionRecognizer',
    model='ViT-B-32-quickgelu',
    pretrained='openai',
    num_frames=8,
    classes=400,
    post_prompt=dict(type='mmclip.ActionTransf', layers=6))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'classifier': dict(lr_mult=10)}))
