# Control: every class is read as another one; AP must fall to nothing.
# python tools/test.py configs/glip/mini/glip_b_mini_shuffled.py CHECKPOINT
_base_ = './glip_b_mini.py'
custom_hooks = [dict(type='mmclip.VocabularyHook', train=False, shuffle_seed=0)]
