# Ablation: 16 group tokens in the first stage (paper: fewer than 64 are worse).
# bash tools/dist_train.sh configs/group_vit/group_vit_gcc12m_16_groups.py 16
_base_ = './group_vit_gcc12m.py'
model = dict(backbone=dict(num_group_tokens=[16, 8, 0], num_output_groups=[16, 8]))
