# Naming accuracy at ground-truth boxes, with the vocabulary of vild_text_r18_mini_examples.py.
# python tools/test.py configs/vild/mini/vild_text_r18_mini_naming_examples.py CHECKPOINT
_base_ = './vild_text_r18_mini_naming.py'
custom_hooks = [
    dict(type='mmclip.VocabularyHook', examples='data/mini_world/detection/examples.json')
]
