# CLIP ViT-B/32 on ImageNet with bare names; the paper's section 3.1.4 puts 'a photo of a {}.' 1.3 points above them.
# Not run here, where there is neither the dataset nor the weights.
#   python tools/test.py configs/clip_zero_shot/clip_vit_b32_imagenet_name_only.py
_base_ = './clip_vit_b32_imagenet.py'

model = dict(head=dict(prompts='name'))
