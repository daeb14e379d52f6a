# CLIP ViT-B/32 on ImageNet, zero-shot: top-1 63.32 by open_clip's evaluation of the same weights (63.2 in the paper);
# not run here, where there is neither the dataset nor the weights. The weights (open_clip's tag 'openai')
# are downloaded at the first run.
#   python tools/test.py configs/clip_zero_shot/clip_vit_b32_imagenet.py
_base_ = './clip_rn50_imagenet.py'

clip = dict(model='ViT-B-32-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
