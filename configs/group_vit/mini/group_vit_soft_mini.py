# MiniWorld: soft assignment.
#   python tools/train.py configs/group_vit/mini/group_vit_soft_mini.py
_base_ = './group_vit_one_stage_mini.py'
model = dict(backbone=dict(hard_assignment=False))
