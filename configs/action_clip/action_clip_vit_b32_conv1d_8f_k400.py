# Post-network visual prompt Conv1D: close to MeanP (paper). The official code scrambles channels and time here:
# official_view=True does so too. Effective batch 128 (4 x 32).
# python tools/train.py configs/action_clip/action_clip_vit_b32_conv1d_8f_k400.py
_base_ = './action_clip_vit_b32_transf_8f_k400.py'
model = dict(post_prompt=dict(_delete_=True, type='mmclip.ActionConv1D'))
