# CLIP RN50x4 on CIFAR-100, zero-shot: top-1 45.14 by open_clip's evaluation of the same weights;
# not run here, where there is neither the dataset nor the weights. The weights (open_clip's tag 'openai')
# are downloaded at the first run.
#   python tools/test.py configs/clip_zero_shot/clip_rn50x4_cifar100.py
_base_ = './clip_rn50_cifar100.py'

clip = dict(model='RN50x4-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
test_pipeline = [
    dict(type='mmclip.CLIPResizeCrop', size=288),
    dict(type='mmclip.PackCLIPInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
