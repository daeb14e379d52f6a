# On MiniWorld: both towers start from random weights.
# python tools/train.py configs/action_clip/mini/action_clip_transf_mini_random_both.py
_base_ = './action_clip_transf_mini.py'
model = dict(pretrained=None)
