# Fine-tuned on HMDB51, split 1, from the Kinetics-400 checkpoint: 76.2 top-1 (official README; not measured
# here). Effective batch 64 (2 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b16_transf_32f_hmdb51.py
_base_ = [
    '../_base_/mmaction_runtime.py',
    '../_base_/models/action_clip_vit_b32.py',
    '../_base_/datasets/hmdb51_video.py',
    '../_base_/schedules/action_clip_50e.py',
]
default_scope = 'mmaction'
custom_hooks = [dict(type='mmclip.VocabularyHook')]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
model = dict(model='ViT-B-16-quickgelu', num_frames=32)
train_dataloader = dict(dataset=dict(num_segments=32))
val_dataloader = dict(dataset=dict(num_segments=32))
test_dataloader = dict(dataset=dict(num_segments=32))
load_from = 'work_dirs/action_clip_vit_b16_transf_32f_k400/epoch_50.pth'
