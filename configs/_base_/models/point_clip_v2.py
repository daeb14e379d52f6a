# PointCLIP V2 zero-shot with CLIP's ViT-B/16: 10 dense depth images out of voxel grids.
clip = dict(model='ViT-B-16-quickgelu', pretrained='openai')
model = dict(
    type='mmclip.PointCLIPClassifier',
    projector=dict(type='mmclip.RealisticDepthProjector', views='realistic10', image_size=224),
    backbone=dict(type='mmclip.OpenCLIPBackbone', **clip),
    head=dict(
        type='mmclip.TextEmbeddingClassifier',
        prompts='an obscure grayscale depth map of a {} model.',
        background=None,
        text_encoder=dict(type='mmclip.CLIPTextEncoder', **clip)))
# V2's search leaves the first three views at 0.75.
grid = [0.25, 0.5, 0.75, 1.0]
custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.ViewWeightSearchHook', choices=[[0.75]] * 3 + [grid] * 7)
]
needs_checkpoint = False  # `pretrained` is all there is
