# On MiniWorld: the image tower starts from random weights.
# python tools/train.py configs/action_clip/mini/action_clip_transf_mini_random_image.py
_base_ = './action_clip_transf_mini.py'
model = dict(image_tower='random')
