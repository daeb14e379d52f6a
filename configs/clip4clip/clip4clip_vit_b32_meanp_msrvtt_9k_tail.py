# The last 12 frames instead of 12 all over: slightly below (paper).
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_msrvtt_9k_tail.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
train_pipeline = [dict(type='mmclip.OpenVideo'), dict(type='mmclip.SampleBySecond', max_frames=12, cut='tail'),
                  dict(type='mmclip.DecodeFrames'), dict(type='mmclip.FrameResizeCrop', size=224),
                  dict(type='mmclip.PackTextVideo')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = val_dataloader
