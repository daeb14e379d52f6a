# CLIP RN50x4 on ImageNet, zero-shot: top-1 66.27 by open_clip's evaluation of the same weights (65.8 in the paper);
# not run here, where there is neither the dataset nor the weights. The weights (open_clip's tag 'openai')
# are downloaded at the first run.
#   python tools/test.py configs/clip_zero_shot/clip_rn50x4_imagenet.py
_base_ = './clip_rn50_imagenet.py'

clip = dict(model='RN50x4-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
test_pipeline = [
    dict(type='mmclip.LoadPILImage'),
    dict(type='mmclip.CLIPResizeCrop', size=288),
    dict(type='mmclip.PackCLIPInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
