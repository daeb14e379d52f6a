# MiniWorld: two stages, 16 and then 4 groups.
#   python tools/train.py configs/group_vit/mini/group_vit_two_stage_mini.py
_base_ = './group_vit_one_stage_mini.py'
model = dict(
    backbone=dict(
        depths=[1, 1, 0], num_heads=[2, 2, 2], num_group_tokens=[16, 4, 0], num_output_groups=[16, 4]))
