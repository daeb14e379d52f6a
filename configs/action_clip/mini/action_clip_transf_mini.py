# ActionCLIP on MiniWorld: the mini CLIP as both towers, 8 frames, a transformer of 2 blocks behind. Trained on 72
# base actions, tested on all 96; novel pairs of shape and motion are named zero-shot.
# Train: python tools/train.py configs/action_clip/mini/action_clip_transf_mini.py
# Test:  python tools/test.py configs/action_clip/mini/action_clip_transf_mini.py \
#            work_dirs/action_clip_transf_mini/iter_400.pth
# Effective batch 32.
_base_ = ['../../_base_/mmaction_runtime.py', '../../_base_/datasets/mini_world_video.py']
default_scope = 'mmaction'
custom_hooks = [dict(type='mmclip.VocabularyHook')]
model = dict(
    type='mmclip.ActionCLIPRecognizer',
    model='mini_clip',
    pretrained='mini_clip',
    num_frames=8,
    prompts='action_clip_16',
    post_prompt=dict(type='mmclip.ActionTransf', layers=2))

max_iters = 400
train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.98), weight_decay=0.05),
    clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='mmclip.WarmupDecayLR', total=max_iters, warmup=40, by_epoch=False)
]
default_hooks = dict(checkpoint=dict(interval=200), channels_last=dict(type='mmclip.ChannelsLastHook'))
