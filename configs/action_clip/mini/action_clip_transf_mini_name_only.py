# On MiniWorld: the bare name instead of the 16 templates.
# python tools/train.py configs/action_clip/mini/action_clip_transf_mini_name_only.py
_base_ = './action_clip_transf_mini.py'
model = dict(prompts='name')
