# On MiniWorld: the text tower is frozen.
# python tools/train.py configs/action_clip/mini/action_clip_transf_mini_fix_text.py
_base_ = './action_clip_transf_mini.py'
model = dict(fix_text=True)
