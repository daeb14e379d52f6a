# CLIP RN101 on ImageNet, zero-shot: top-1 62.28 by open_clip's evaluation of the same weights (62.2 in the paper);
# not run here, where there is neither the dataset nor the weights. The weights (open_clip's tag 'openai')
# are downloaded at the first run.
#   python tools/test.py configs/clip_zero_shot/clip_rn101_imagenet.py
_base_ = './clip_rn50_imagenet.py'

clip = dict(model='RN101-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
