# CLIP RN50 on CIFAR-100, zero-shot: top-1 40.3 by open_clip's evaluation of the same weights;
# not run here, where there is neither the dataset nor the weights. The weights (open_clip's tag 'openai')
# are downloaded at the first run.
#   python tools/test.py configs/clip_zero_shot/clip_rn50_cifar100.py
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/cifar100.py']

default_scope = 'mmengine'
clip = dict(model='RN50-quickgelu', pretrained='openai')
model = dict(
    type='mmclip.CLIPZeroShotClassifier',
    backbone=dict(type='mmclip.OpenCLIPBackbone', **clip),
    head=dict(
        type='mmclip.TextEmbeddingClassifier',
        prompts='cifar_18',
        background=None,
        text_encoder=dict(type='mmclip.CLIPTextEncoder', **clip)))
custom_hooks = [dict(type='mmclip.VocabularyHook')]
needs_checkpoint = False  # `pretrained` is all there is
