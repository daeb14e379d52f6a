# On MiniWorld: the post-network prompt Transf_cls, two layers.
# python tools/train.py configs/action_clip/mini/action_clip_transf_cls_mini.py
_base_ = './action_clip_transf_mini.py'
model = dict(post_prompt=dict(_delete_=True, type='mmclip.ActionTransfCls', layers=2, hidden_dim=256))
