# PointCLIP zero-shot with CLIP's RN50: 6 depth maps of 128 pixels, up-sampled to what the tower takes, no adapter.
clip = dict(model='RN50-quickgelu', pretrained='openai')
model = dict(
    type='mmclip.PointCLIPClassifier',
    projector=dict(
        type='mmclip.PerspectiveDepthProjector',
        views='zero_shot6',
        resolution=128,
        distance=1.6,
        image_size=224),
    backbone=dict(type='mmclip.OpenCLIPBackbone', **clip),
    head=dict(
        type='mmclip.TextEmbeddingClassifier',
        prompts='point cloud depth map of a {}.',
        background=None,
        text_encoder=dict(type='mmclip.CLIPTextEncoder', **clip)))
custom_hooks = [dict(type='mmclip.VocabularyHook'), dict(type='mmclip.ViewWeightSearchHook')]
needs_checkpoint = False  # `pretrained` is all there is
