# The control: every name stands for another shape.
#   python tools/test.py configs/point_clip/mini/point_clip_zero_shot_mini_shuffled.py
_base_ = './point_clip_zero_shot_mini.py'

custom_hooks = [dict(type='mmclip.VocabularyHook', shuffle_seed=0)]
