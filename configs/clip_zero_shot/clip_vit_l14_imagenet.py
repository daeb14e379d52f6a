# CLIP ViT-L/14 on ImageNet, zero-shot: top-1 75.54 by open_clip's evaluation of the same weights (75.3 in the paper);
# not run here, where there is neither the dataset nor the weights. The weights (open_clip's tag 'openai')
# are downloaded at the first run.
#   python tools/test.py configs/clip_zero_shot/clip_vit_l14_imagenet.py
_base_ = './clip_rn50_imagenet.py'

clip = dict(model='ViT-L-14-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
