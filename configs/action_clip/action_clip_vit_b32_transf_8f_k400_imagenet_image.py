# Image tower: a ViT-B/32 trained on ImageNet-21k (timm), projected to 512. No figure known. Effective batch 128
# (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_transf_8f_k400_imagenet_image.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(
    image_tower=dict(name='vit_base_patch32_224.augreg_in21k_ft_in1k'),
    data_preprocessor=dict(
        type='mmaction.ActionDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3, format_shape='NCHW'))
