# The mini CLIP names MiniWorld's crops among all 384 names, zero-shot: accuracy on base, novel and
# unseen things. What it reaches: docs/en/methods/clip_zero_shot.md (measured here).
#   python tools/make_mini_world.py --out data/mini_world
#   python tools/test.py configs/clip_zero_shot/mini/clip_zero_shot_mini.py
_base_ = [
    '../../_base_/default_runtime.py', '../../_base_/datasets/mini_world_classification.py'
]

default_scope = 'mmengine'
clip = dict(model='mini_clip', pretrained='mini_clip')
model = dict(
    type='mmclip.CLIPZeroShotClassifier',
    backbone=dict(type='mmclip.OpenCLIPBackbone', **clip),
    head=dict(
        type='mmclip.TextEmbeddingClassifier',
        prompts='single',
        background=None,
        text_encoder=dict(type='mmclip.CLIPTextEncoder', **clip)))
custom_hooks = [dict(type='mmclip.VocabularyHook')]
needs_checkpoint = False  # `pretrained` is all there is

# Nothing is trained.
train_dataloader = None
