# GLIP-L as in glip_l_swin-l_four_ods_goldg_cap24m.py with its weights, gradients and optimizer states spread over all processes (FSDP),
# and activations recomputed in the backward pass.
# Train: bash tools/dist_train.sh configs/glip/glip_l_swin-l_four_ods_goldg_cap24m_fsdp.py 64
# Effective batch 64.
_base_ = './glip_l_swin-l_four_ods_goldg_cap24m.py'

runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    model_wrapper=dict(
        # Parameters keep their names, by which rates are given.
        use_orig_params=True,
        auto_wrap_policy=dict(
            type='wrap_classes', names=['SwinBlock', 'BertLayer', 'DeepFusionBlock'])))
optim_wrapper = dict(type='mmclip.ShardedAmpOptimWrapper', use_fsdp=True)
model = dict(backbone=dict(with_cp=True), text_encoder=dict(with_cp=True))
