# The official code's other schedule: a tenth of the rate from epoch 15 on, a hundredth from 30 on.
_base_ = './action_clip_50e.py'
param_scheduler = [
    dict(
        type='mmclip.WarmupDecayLR',
        total=50,
        warmup=5,
        milestones=[15, 30],
        convert_to_iter_based=True)
]
