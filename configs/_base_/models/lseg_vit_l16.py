# LSeg with ViT-L/16, supervised on ImageNet-21k and 1k (343.9 M parameters without the text tower).
# The text tower is CLIP ViT-B/32's; no prompt goes around the words.
model = dict(
    type='mmclip.OpenVocabSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_val=-1,
        seg_pad_val=255,
        size=(480, 480)),
    backbone=dict(
        type='mmclip.DPTViT',
        model='vit_large_patch16_384',
        pretrained='timm',
        out_indices=(5, 11, 17, 23),
        with_cp=True),
    decode_head=dict(
        type='mmclip.LSegHead',
        in_channels=[1024, 1024, 1024, 1024],
        reassemble=dict(channels=[256, 512, 1024, 1024], patch_size=16, readout='project'),
        channels=256,
        num_classes=150,
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
