# PointCLIP with mini_clip_styles, which has seen photographs, drawings and silhouettes but no depth map: maps of
# 32 pixels, bright where near, up-sampled to the tower's 48.
clip = dict(model='mini_clip_styles', pretrained='mini_clip_styles')
model = dict(
    type='mmclip.PointCLIPClassifier',
    projector=dict(
        type='mmclip.PerspectiveDepthProjector',
        views='zero_shot6',
        resolution=32,
        distance=2.0,
        image_size=48,
        values='near'),
    backbone=dict(type='mmclip.OpenCLIPBackbone', **clip),
    head=dict(
        type='mmclip.TextEmbeddingClassifier',
        prompts='a {}',
        background=None,
        text_encoder=dict(type='mmclip.CLIPTextEncoder', **clip)))
custom_hooks = [dict(type='mmclip.VocabularyHook')]
