# MiniWorld: a group is the mean of its tokens, as in the paper, not their sum.
#   python tools/train.py configs/group_vit/mini/group_vit_mean_mini.py
_base_ = './group_vit_one_stage_mini.py'
model = dict(backbone=dict(sum_assign=False))
