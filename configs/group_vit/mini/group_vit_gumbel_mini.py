# MiniWorld: Gumbel noise in training, as in the paper.
#   python tools/train.py configs/group_vit/mini/group_vit_gumbel_mini.py
_base_ = './group_vit_one_stage_mini.py'
model = dict(backbone=dict(gumbel=True))
