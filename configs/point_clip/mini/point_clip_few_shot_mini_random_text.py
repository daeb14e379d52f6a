# The control of language: random vectors stand for the names.
#   python tools/train.py configs/point_clip/mini/point_clip_few_shot_mini_random_text.py
_base_ = './point_clip_few_shot_mini.py'

model = dict(
    head=dict(
        text_encoder=dict(_delete_=True, type='mmclip.RandomTextEncoder', model='mini_clip_styles')))
