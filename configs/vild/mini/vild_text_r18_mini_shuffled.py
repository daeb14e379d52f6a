# Control: every class gets the embedding of another one; AP must fall to nothing.
# python tools/test.py configs/vild/mini/vild_text_r18_mini_shuffled.py CHECKPOINT
_base_ = './vild_text_r18_mini.py'
custom_hooks = [dict(type='mmclip.VocabularyHook', shuffle_seed=0)]
