# LSeg with ResNet-101, supervised on ImageNet-1k (torchvision's first weights), as for the folds.
model = dict(
    type='mmclip.OpenVocabSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        seg_pad_val=255,
        size=(480, 480)),
    backbone=dict(
        type='mmseg.ResNet',
        depth=101,
        style='pytorch',
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101')),
    decode_head=dict(
        type='mmclip.LSegHead',
        in_channels=[256, 512, 1024, 2048],
        channels=256,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        classifier=dict(
            type='mmclip.TextEmbeddingClassifier',
            text_encoder=dict(
                type='mmclip.CLIPTextEncoder', model='ViT-B-32-quickgelu', pretrained='openai'),
            prompts='name',
            background=None,
            temperature=0.07),
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
