# The fair test: a random quarter of each cloud is missing, so the camera stands nearer (chosen on validation).
#   python tools/test.py configs/point_clip/mini/point_clip_zero_shot_mini_cut.py
_base_ = './point_clip_zero_shot_mini.py'

cut = dict(dataset=dict(data_root='data/mini_world/points/cut'))
val_dataloader = cut
test_dataloader = cut
model = dict(projector=dict(distance=1.6))
