# CLIP ViT-L/14@336px on ImageNet, zero-shot: top-1 76.56 by open_clip's evaluation of the same weights (76.2 in the paper);
# not run here, where there is neither the dataset nor the weights. The weights (open_clip's tag 'openai')
# are downloaded at the first run.
#   python tools/test.py configs/clip_zero_shot/clip_vit_l14_336_imagenet.py
_base_ = './clip_rn50_imagenet.py'

clip = dict(model='ViT-L-14-336-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
test_pipeline = [
    dict(type='mmclip.LoadPILImage'),
    dict(type='mmclip.CLIPResizeCrop', size=336),
    dict(type='mmclip.PackCLIPInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
