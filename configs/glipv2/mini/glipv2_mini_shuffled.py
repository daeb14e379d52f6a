# The control of a GLIPv2 trained on MiniWorld: every class gets another one's name.
# Test: python tools/test.py configs/glipv2/mini/glipv2_mini_shuffled.py work_dirs/glipv2_mini/iter_1200.pth
_base_ = './glipv2_mini.py'

custom_hooks = [dict(type='mmclip.VocabularyHook', train=False, shuffle_seed=0)]
