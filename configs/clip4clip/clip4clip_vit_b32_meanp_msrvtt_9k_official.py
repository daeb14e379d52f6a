# The official optimizer, rates and gathering, on fp32 weights (see the schedule).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_msrvtt_9k_official.py
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/clip4clip_vit_b32.py',
    '../_base_/datasets/msrvtt_9k.py',
    '../_base_/schedules/clip4clip_official_5e.py',
]
default_scope = 'mmaction'
custom_hooks = [dict(type='mmclip.BindModelHook')]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
model = dict(loss=dict(gather='official'))
