# The control without words: a linear layer on the features of the same ten views.
#   python tools/train.py configs/point_clip/mini/point_clip_few_shot_mini_linear_probe.py
_base_ = './point_clip_few_shot_mini.py'

model = dict(
    adapter=None,
    loss=dict(_delete_=True, type='mmclip.SmoothCELoss', eps=0.0),
    head=dict(
        _delete_=True,
        type='mmclip.ViewLinearClassifier',
        model='mini_clip_styles',
        num_views=10,
        classes=12,
        scale=10.0))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-2, weight_decay=1e-4))
