# A single frame: the paper's figure on the number of frames falls far behind 12.
# python tools/train.py configs/clip4clip/clip4clip_vit_b32_meanp_msrvtt_9k_1_frame.py
_base_ = './clip4clip_vit_b32_meanp_msrvtt_9k.py'
frame = dict(type='mmclip.SampleBySecond', per_second=1, max_frames=1)
train_pipeline = [dict(type='mmclip.OpenVideo'), frame, dict(type='mmclip.DecodeFrames'),
                  dict(type='mmclip.FrameResizeCrop', size=224), dict(type='mmclip.PackTextVideo')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = val_dataloader
