# What every config shares; mmdet_, mmseg_ and mmaction_runtime.py add what a host draws with. A leaf sets
# `default_scope`. Under any OpenMMLab tool a run with these hooks survives being cut off (docs: running).
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

default_hooks = dict(
    runtime_info=dict(type='mmengine.RuntimeInfoHook'),
    timer=dict(type='mmengine.IterTimerHook'),
    sampler_seed=dict(type='mmengine.DistSamplerSeedHook'),
    param_scheduler=dict(type='mmengine.ParamSchedulerHook'),
    logger=dict(type='mmengine.LoggerHook', interval=50),
    # `interval` counts iterations; an epoch-based leaf says by_epoch=True and interval=1.
    checkpoint=dict(type='mmclip.AtomicCheckpointHook', interval=1000, by_epoch=False, max_keep_ckpts=3),
    # A checkpoint that is not of the model is an error; --allow-mismatch goes on.
    checkpoint_check=dict(type='mmclip.CheckpointCheckHook'),
    exact_resume=dict(type='mmclip.ExactResumeHook'),
    preemption=dict(type='mmclip.PreemptionHook'),
    finite_loss=dict(type='mmclip.FiniteLossHook'),
    contrastive_batch=dict(type='mmclip.ContrastiveBatchHook'),
    parameter_table=dict(type='mmclip.ParameterTableHook'),
)

log_processor = dict(type='mmengine.LogProcessor', window_size=50, by_epoch=False)
log_level = 'INFO'
randomness = dict(seed=0)

load_from = None
resume = False
