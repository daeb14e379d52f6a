# SegFormer-B0 of MMSegmentation with words instead of its last convolution (mmclip.TextDecodeHead), trained as the
# host trains it on ADE20K, with LSeg's augmentation. No figure: not measured here, not in the paper.
# Train: python tools/train.py configs/lseg/text_segformer_b0_ade20k.py (effective batch 16: 4 GPUs x 4 images)
# Test:  python tools/test.py configs/lseg/text_segformer_b0_ade20k.py CHECKPOINT
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
        type='mmseg.MixVisionTransformer',
        embed_dims=32,
        num_layers=[2, 2, 2, 2],
        num_heads=[1, 2, 5, 8],
        patch_sizes=[7, 3, 3, 3],
        sr_ratios=[8, 4, 2, 1],
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
            'mit_b0_20220624-7e0fe6dd.pth')),
    decode_head=dict(
        type='mmclip.TextDecodeHead',
        head=dict(
            type='mmseg.SegformerHead',
            in_channels=[32, 64, 160, 256],
            in_index=[0, 1, 2, 3],
            channels=256,
            num_classes=150,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)),
        classifier=dict(
            type='mmclip.TextEmbeddingClassifier',
            text_encoder=dict(
                type='mmclip.CLIPTextEncoder', model='ViT-B-32-quickgelu', pretrained='openai'),
            prompts='name',
            background=None,
            temperature=0.07)),
    test_cfg=dict(mode='whole'))

train_dataloader = dict(batch_size=4, sampler=dict(type='InfiniteSampler', shuffle=True))
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=160000, val_interval=16000)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={'norm': dict(decay_mult=0.0), 'head': dict(lr_mult=10.0)}))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=1500, end=160000, by_epoch=False),
]
