# MiniWorld: control: a plain ViT of as many blocks, each patch named by itself.
#   python tools/train.py configs/group_vit/mini/group_vit_plain_mini.py
_base_ = './group_vit_one_stage_mini.py'
model = dict(
    backbone=dict(depths=[2], num_heads=[2], num_group_tokens=[0], num_output_groups=[]))
