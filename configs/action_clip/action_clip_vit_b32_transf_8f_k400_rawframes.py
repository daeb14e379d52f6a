# The same from extracted frames (img_00001.jpg ...), lists of lines 'folder frames label', as the official
# repository's. Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_transf_8f_k400_rawframes.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
train_pipeline = [
    dict(type='mmclip.SampleSegments'),
    dict(type='mmaction.RawFrameDecode'),
    dict(type='mmclip.FrameRandAugment', num_ops=2, magnitude=9),
    dict(
        type='mmaction.MultiScaleCrop', input_size=224, scales=(1, 0.875, 0.75, 0.66), num_fixed_crops=13),
    dict(type='mmclip.FrameResize', size=224),
    dict(type='mmaction.Flip', flip_ratio=0.5),
    dict(type='mmclip.FrameColor'),
    dict(type='mmaction.FormatShape', input_format='NCHW'),
    dict(type='mmaction.PackActionInputs'),
]
test_pipeline = [
    dict(type='mmclip.SampleSegments', test_mode=True),
    dict(type='mmaction.RawFrameDecode'),
    dict(type='mmclip.FrameResizeCrop', size=224, short_side=256),
    dict(type='mmaction.FormatShape', input_format='NCHW'),
    dict(type='mmaction.PackActionInputs'),
]
train_dataloader = dict(
    dataset=dict(
        frames=True,
        ann_file='kinetics400_train_list_rawframes.txt',
        data_prefix=dict(video='rawframes_train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        frames=True,
        ann_file='kinetics400_val_list_rawframes.txt',
        data_prefix=dict(video='rawframes_val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
