# On MiniWorld: the text tower starts from random weights.
# python tools/train.py configs/action_clip/mini/action_clip_transf_mini_random_text.py
_base_ = './action_clip_transf_mini.py'
model = dict(text_tower='random')
