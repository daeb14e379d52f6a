# CLIP RN50 on ImageNet, zero-shot: top-1 59.82 by open_clip's evaluation of the same weights (59.6 in the paper);
# not run here, where there is neither the dataset nor the weights. The weights (open_clip's tag 'openai')
# are downloaded at the first run.
#   python tools/test.py configs/clip_zero_shot/clip_rn50_imagenet.py
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/imagenet_classification.py']

default_scope = 'mmengine'
clip = dict(model='RN50-quickgelu', pretrained='openai')
model = dict(
    type='mmclip.CLIPZeroShotClassifier',
    backbone=dict(type='mmclip.OpenCLIPBackbone', **clip),
    head=dict(
        type='mmclip.TextEmbeddingClassifier',
        prompts='imagenet_80',
        background=None,
        text_encoder=dict(type='mmclip.CLIPTextEncoder', **clip)))
custom_hooks = [dict(type='mmclip.VocabularyHook')]
needs_checkpoint = False  # `pretrained` is all there is
