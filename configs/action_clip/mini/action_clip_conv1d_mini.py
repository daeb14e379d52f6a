# On MiniWorld: the post-network prompt Conv1D.
# python tools/train.py configs/action_clip/mini/action_clip_conv1d_mini.py
_base_ = './action_clip_transf_mini.py'
model = dict(post_prompt=dict(_delete_=True, type='mmclip.ActionConv1D'))
