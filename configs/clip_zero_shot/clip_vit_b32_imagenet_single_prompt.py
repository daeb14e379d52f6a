# CLIP ViT-B/32 on ImageNet with 'a photo of a {}.' alone; the paper's section 3.1.4 puts the 80 templates 3.5 points above it.
# Not run here, where there is neither the dataset nor the weights.
#   python tools/test.py configs/clip_zero_shot/clip_vit_b32_imagenet_single_prompt.py
_base_ = './clip_vit_b32_imagenet.py'

model = dict(head=dict(prompts='single'))
