# The official multi-step schedule. No figure known. Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_transf_8f_k400_multistep.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
param_scheduler = [
    dict(
        type='mmclip.WarmupDecayLR', total=50, warmup=5, milestones=[15, 30], convert_to_iter_based=True)
]
