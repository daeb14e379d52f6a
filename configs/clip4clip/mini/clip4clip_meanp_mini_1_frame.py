# On MiniWorld: a single frame, the first, in which most motions look alike.
# python tools/train.py configs/clip4clip/mini/clip4clip_meanp_mini_1_frame.py
_base_ = './clip4clip_meanp_mini.py'
train_pipeline = [dict(type='mmclip.OpenVideo'), dict(type='mmclip.SampleBySecond', per_second=4, max_frames=1),
                  dict(type='mmclip.DecodeFrames'), dict(type='mmclip.FrameResizeCrop', size=48),
                  dict(type='mmclip.PackTextVideo')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=train_pipeline))
