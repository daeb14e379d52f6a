# Ablation: a plain ViT, each patch named by itself (paper: 20.1 mIoU on VOC).
# bash tools/dist_train.sh configs/group_vit/group_vit_gcc12m_plain.py 16
_base_ = './group_vit_gcc12m.py'
model = dict(
    backbone=dict(depths=[12], num_heads=[6], num_group_tokens=[0], num_output_groups=[]))
