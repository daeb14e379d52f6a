# CLIP ViT-B/32 on ImageNet with the notebook's 7 templates, a little above the 80 for small models.
# Not run here, where there is neither the dataset nor the weights.
#   python tools/test.py configs/clip_zero_shot/clip_vit_b32_imagenet_7_prompts.py
_base_ = './clip_vit_b32_imagenet.py'

model = dict(head=dict(prompts='imagenet_7'))
