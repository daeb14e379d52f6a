# PointCLIP few-shot with CLIP's RN101: 10 depth maps of 224 pixels and the inter-view adapter, which alone is trained.
clip = dict(model='RN101-quickgelu', pretrained='openai')
model = dict(
    type='mmclip.PointCLIPClassifier',
    projector=dict(
        type='mmclip.PerspectiveDepthProjector',
        views='few_shot10',
        resolution=224,
        distance=1.4,
        image_size=224),
    backbone=dict(type='mmclip.OpenCLIPBackbone', **clip),
    head=dict(
        type='mmclip.TextEmbeddingClassifier',
        prompts='point cloud of a big {}.',
        background=None,
        text_encoder=dict(type='mmclip.CLIPTextEncoder', **clip)),
    adapter=dict(type='mmclip.InterViewAdapter', ratio=0.6, fusion_init=0.5, dropout=0.075),
    loss=dict(type='mmclip.SmoothCELoss', eps=0.2))
custom_hooks = [dict(type='mmclip.VocabularyHook')]
