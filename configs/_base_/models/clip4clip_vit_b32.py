# CLIP4Clip with CLIP's ViT-B/32 and the mean over frames. With `freeze_layer_num=0` patches, tokens and positions
# stay as they are (officially the default).
model = dict(
    type='mmclip.CLIP4Clip',
    model='ViT-B-32-quickgelu',
    pretrained='openai',
    sim_head=dict(type='mmclip.MeanPHead'),
    linear_patch='2d',
    freeze_layer_num=0,
    max_words=32,
    loss=dict(type='mmclip.VideoTextLoss', gather='exact'))
