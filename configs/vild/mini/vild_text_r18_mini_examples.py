# The vocabulary is one example image per class instead of words.
# python tools/test.py configs/vild/mini/vild_text_r18_mini_examples.py CHECKPOINT
_base_ = './vild_text_r18_mini.py'
custom_hooks = [
    dict(type='mmclip.VocabularyHook', examples='data/mini_world/detection/examples.json')
]
