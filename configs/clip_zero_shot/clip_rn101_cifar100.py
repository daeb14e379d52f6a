# CLIP RN101 on CIFAR-100, zero-shot: top-1 47.64 by open_clip's evaluation of the same weights;
# not run here, where there is neither the dataset nor the weights. The weights (open_clip's tag 'openai')
# are downloaded at the first run.
#   python tools/test.py configs/clip_zero_shot/clip_rn101_cifar100.py
_base_ = './clip_rn50_cifar100.py'

clip = dict(model='RN101-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
