# Ablation of GLIPv2-T: with masked words, without the loss across images.
# Train: bash tools/dist_train.sh configs/glipv2/glipv2_t_swin-t_o365_goldg_cap4m_mlm.py 32
_base_ = './glipv2_t_swin-t_o365_goldg_cap4m.py'

model = dict(inter_image_loss=None)
