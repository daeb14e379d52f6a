# ViT-B/16, 32 frames, 10 clips x 3 crops: 83.8 top-1 (paper). Test of the checkpoint of the leaf below; the
# probabilities are averaged over the views.
# python tools/test.py configs/action_clip/action_clip_vit_b16_transf_32f_k400_10x3.py CHECKPOINT
_base_ = './action_clip_vit_b16_transf_32f_k400.py'
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        num_views=10,
        pipeline=[
            dict(type='mmclip.OpenVideo'),
            dict(type='mmclip.SampleSegments', test_mode=True),
            dict(type='mmclip.DecodeFrames'),
            dict(type='mmclip.FrameResizeCrop', size=None, short_side=224),
            dict(type='mmaction.ThreeCrop', crop_size=224),
            dict(type='mmaction.FormatShape', input_format='NCHW'),
            dict(type='mmaction.PackActionInputs'),
        ]))
