# Ablation: one stage instead of two, 64 group tokens (paper: 39.3 mIoU on VOC against 41.1).
# bash tools/dist_train.sh configs/group_vit/group_vit_gcc12m_one_stage.py 16
_base_ = './group_vit_gcc12m.py'
model = dict(
    backbone=dict(depths=[6, 6], num_heads=[6, 6], num_group_tokens=[64, 0], num_output_groups=[8]))
