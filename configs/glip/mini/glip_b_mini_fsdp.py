# glip_b_mini.py sharded over processes, as glip_l_swin-l_four_ods_goldg_cap24m_fsdp.py is; runs on CPUs too.
# Train: bash tools/dist_train.sh configs/glip/mini/glip_b_mini_fsdp.py 2 --cfg-options train_dataloader.batch_size=4
# Effective batch 8.
_base_ = './glip_b_mini.py'

runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    model_wrapper=dict(
        use_orig_params=True,
        auto_wrap_policy=dict(type='wrap_classes', names=['CLIPTokenBlock', 'DeepFusionBlock'])))
optim_wrapper = dict(type='mmclip.ShardedOptimWrapper')
model = dict(fusion=dict(with_cp=True), text_encoder=dict(with_cp=True))
