# ActionCLIP, ViT-B/32, 8 frames, Transf, Kinetics-400, one view: 78.36 top-1, 94.25 top-5 (official README and
# log; not measured here). Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_transf_8f_k400.py
_base_ = [
    '../_base_/mmaction_runtime.py',
    '../_base_/models/action_clip_vit_b32.py',
    '../_base_/datasets/kinetics400_video.py',
    '../_base_/schedules/action_clip_50e.py',
]
default_scope = 'mmaction'
custom_hooks = [dict(type='mmclip.VocabularyHook')]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
