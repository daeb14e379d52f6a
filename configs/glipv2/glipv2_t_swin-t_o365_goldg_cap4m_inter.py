# Ablation of GLIPv2-T: with the loss across images, without masked words.
# Train: bash tools/dist_train.sh configs/glipv2/glipv2_t_swin-t_o365_goldg_cap4m_inter.py 32
_base_ = './glipv2_t_swin-t_o365_goldg_cap4m.py'

model = dict(mask_tokens=None, mlm_head=None)
