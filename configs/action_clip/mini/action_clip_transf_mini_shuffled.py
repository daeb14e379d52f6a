# Control: every action gets the words of another one; accuracy must fall to nothing.
# python tools/test.py configs/action_clip/mini/action_clip_transf_mini_shuffled.py CHECKPOINT
_base_ = './action_clip_transf_mini.py'
custom_hooks = [dict(type='mmclip.VocabularyHook', shuffle_seed=0)]
