# Objects that look anywhere.
#   python tools/test.py configs/point_clip/mini/point_clip_zero_shot_mini_full_turn.py
_base_ = './point_clip_zero_shot_mini.py'

full_turn = dict(dataset=dict(data_root='data/mini_world/points/full_turn'))
val_dataloader = full_turn
test_dataloader = full_turn
