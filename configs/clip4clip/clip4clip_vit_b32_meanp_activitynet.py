# CLIP4Clip, ViT-B/32, meanP, ActivityNet, paragraphs: 40.5 R@1 text to video (paper; not measured
# here). Effective batch 128 (8 x 16).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_activitynet.py
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/clip4clip_vit_b32.py',
    '../_base_/datasets/activitynet_text.py',
    '../_base_/schedules/clip4clip_5e.py',
]
default_scope = 'mmaction'
model = dict(max_words=64)
custom_hooks = [dict(type='mmclip.BindModelHook')]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
