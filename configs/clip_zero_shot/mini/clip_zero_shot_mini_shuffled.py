# The control of clip_zero_shot_mini.py: every name stands for another thing, so accuracy is at chance.
#   python tools/test.py configs/clip_zero_shot/mini/clip_zero_shot_mini_shuffled.py
_base_ = './clip_zero_shot_mini.py'

custom_hooks = [dict(type='mmclip.VocabularyHook', shuffle_seed=0)]
