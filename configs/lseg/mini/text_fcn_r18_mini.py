# MMSegmentation's FCN head with words instead of its last convolution (mmclip.TextDecodeHead), on MiniWorld.
# Train: python tools/train.py configs/lseg/mini/text_fcn_r18_mini.py
# Test:  python tools/test.py configs/lseg/mini/text_fcn_r18_mini.py work_dirs/text_fcn_r18_mini/iter_1600.pth
# Effective batch 8.
_base_ = './lseg_r18_mini.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='mmclip.TextDecodeHead',
        loss_stride=4,
        head=dict(
            type='mmseg.FCNHead',
            in_channels=[24, 48, 96, 192],
            in_index=[0, 1, 2, 3],
            input_transform='resize_concat',
            channels=96,
            num_classes=384,
            num_convs=1,
            kernel_size=3,
            concat_input=False,
            dropout_ratio=0,
            norm_cfg=dict(type='BN'),
            ignore_index=65535,
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)),
        classifier=dict(
            type='mmclip.TextEmbeddingClassifier',
            text_encoder=dict(
                type='mmclip.CLIPTextEncoder', model='mini_clip', pretrained='mini_clip'),
            prompts='single',
            background=None,
            temperature=0.03)))
