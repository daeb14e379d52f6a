# Ablation: one stage, soft assignment, captions only (paper: 12.0 mIoU on VOC).
# bash tools/dist_train.sh configs/group_vit/group_vit_gcc12m_one_stage_soft_no_prompts.py 16
_base_ = './group_vit_gcc12m_one_stage_no_prompts.py'
model = dict(backbone=dict(hard_assignment=False, gumbel=False))
