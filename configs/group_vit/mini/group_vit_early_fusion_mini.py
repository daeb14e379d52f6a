# MiniWorld: image tokens read the words before they are compared with them (not in the paper).
#   python tools/train.py configs/group_vit/mini/group_vit_early_fusion_mini.py
_base_ = './group_vit_one_stage_mini.py'
model = dict(decode_head=dict(early_fusion=dict(width=64, num_heads=2)))
