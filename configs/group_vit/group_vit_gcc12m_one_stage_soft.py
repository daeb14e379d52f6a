# Ablation: one stage, soft assignment (paper: 25.1 mIoU on VOC).
# bash tools/dist_train.sh configs/group_vit/group_vit_gcc12m_one_stage_soft.py 16
_base_ = './group_vit_gcc12m_one_stage.py'
model = dict(backbone=dict(hard_assignment=False, gumbel=False))
