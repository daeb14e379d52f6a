# What every GroupViT config shares beside its model and data: host, words, drawing.
default_scope = 'mmseg'
visualizer = dict(
    type='mmseg.SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [dict(type='mmclip.VocabularyHook', train=False)]
test_cfg = dict(type='mmengine.TestLoop')
