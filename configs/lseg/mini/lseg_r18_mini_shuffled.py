# Control: every class but the background gets the words of another one; mIoU must fall to nothing.
# python tools/test.py configs/lseg/mini/lseg_r18_mini_shuffled.py CHECKPOINT
_base_ = './lseg_r18_mini.py'
custom_hooks = [
    dict(type='mmclip.VocabularyHook', shuffle_seed=0, shuffle_keep=['background'])
]
