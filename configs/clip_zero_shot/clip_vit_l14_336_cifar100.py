# CLIP ViT-L/14@336px on CIFAR-100, zero-shot: top-1 74.36 by open_clip's evaluation of the same weights;
# not run here, where there is neither the dataset nor the weights. The weights (open_clip's tag 'openai')
# are downloaded at the first run.
#   python tools/test.py configs/clip_zero_shot/clip_vit_l14_336_cifar100.py
_base_ = './clip_rn50_cifar100.py'

clip = dict(model='ViT-L-14-336-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
test_pipeline = [
    dict(type='mmclip.CLIPResizeCrop', size=336),
    dict(type='mmclip.PackCLIPInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
