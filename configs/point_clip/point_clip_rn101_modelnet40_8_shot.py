# 8 clouds per class; the paper shows it in a plot only.
#   python tools/train.py configs/point_clip/point_clip_rn101_modelnet40_8_shot.py
_base_ = './point_clip_rn101_modelnet40_16_shot.py'

train_dataloader = dict(dataset=dict(num_shots=8))
val_dataloader = dict(dataset=dict(num_shots=8))
test_dataloader = dict(dataset=dict(num_shots=8))
