# Control: every class but the background gets the word of another one.
#   python tools/test.py configs/group_vit/mini/group_vit_one_stage_mini_shuffled.py CHECKPOINT
_base_ = './group_vit_one_stage_mini.py'
custom_hooks = [
    dict(type='mmclip.VocabularyHook', train=False, shuffle_seed=0, shuffle_keep=['background'])
]
