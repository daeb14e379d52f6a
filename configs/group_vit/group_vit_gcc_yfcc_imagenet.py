# The model of GCC + YFCC as a zero-shot classifier of ImageNet's validation images: official README
# 43.7 % top-1 (not measured here). Short side 256, center crop 224, seven sentences per class.
#   python tools/test.py configs/group_vit/group_vit_gcc_yfcc_imagenet.py weights.pth
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/group_vit.py',
    '../_base_/datasets/imagenet_classification.py',
]
default_scope = 'mmengine'
custom_hooks = [dict(type='mmclip.VocabularyHook', train=False)]
model = dict(
    type='mmclip.GroupViTClassifier',
    data_preprocessor=dict(
        _delete_=True,
        type='mmengine.ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375]),
    decode_head=dict(prompts='group_vit_7', multi_label=3),
    train_cfg=None,
    test_cfg=None)
test_pipeline = [
    dict(type='mmclip.LoadPILImage'),
    dict(type='mmclip.TimmResizeCrop', resize=256, size=224),
    dict(type='mmclip.PackCLIPInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
