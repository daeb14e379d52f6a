# FCN with ResNet-50-D8 of MMSegmentation with words instead of its last convolution (mmclip.TextDecodeHead), trained as the
# host trains it on ADE20K, with LSeg's augmentation. No figure: not measured here, not in the paper.
# Train: python tools/train.py configs/lseg/text_fcn_r50_ade20k.py (effective batch 16: 4 GPUs x 4 images)
# Test:  python tools/test.py configs/lseg/text_fcn_r50_ade20k.py CHECKPOINT
_base_ = [
    '../_base_/mmseg_runtime.py',
    '../_base_/datasets/ade20k.py',
]
default_scope = 'mmseg'
visualizer = dict(
    type='mmseg.SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [dict(type='mmclip.VocabularyHook')]

model = dict(
    type='mmclip.OpenVocabSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        seg_pad_val=255,
        size=(480, 480),
        test_cfg=dict(size_divisor=32)),
    backbone=dict(
        type='mmseg.ResNetV1c',
        depth=50,
        dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1),
        style='pytorch',
        contract_dilation=True,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet50_v1c')),
    decode_head=dict(
        type='mmclip.TextDecodeHead',
        head=dict(
            type='mmseg.FCNHead',
            in_channels=2048,
            in_index=3,
            channels=512,
            num_classes=150,
            num_convs=2,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)),
        classifier=dict(
            type='mmclip.TextEmbeddingClassifier',
            text_encoder=dict(
                type='mmclip.CLIPTextEncoder', model='ViT-B-32-quickgelu', pretrained='openai'),
            prompts='name',
            background=None,
            temperature=0.07)),
    auxiliary_head=dict(
        type='mmclip.TextDecodeHead',
        head=dict(
            type='mmseg.FCNHead',
            in_channels=1024,
            in_index=2,
            channels=256,
            num_classes=150,
            num_convs=1,
            concat_input=False,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            loss_decode=dict(
                type='mmseg.CrossEntropyLoss', avg_non_ignore=True, loss_weight=0.4)),
        classifier=dict(
            type='mmclip.TextEmbeddingClassifier',
            text_encoder=dict(
                type='mmclip.CLIPTextEncoder', model='ViT-B-32-quickgelu', pretrained='openai'),
            prompts='name',
            background=None,
            temperature=0.07)),
    test_cfg=dict(mode='whole'))

train_dataloader = dict(batch_size=4, sampler=dict(type='InfiniteSampler', shuffle=True))
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=80000, val_interval=8000)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=1e-4, begin=0, end=80000, by_epoch=False),
]
