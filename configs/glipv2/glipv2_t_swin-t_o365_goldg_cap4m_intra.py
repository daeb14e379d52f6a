# Ablation of GLIPv2-T: the losses within an image only, as GLIP-T.
# Train: bash tools/dist_train.sh configs/glipv2/glipv2_t_swin-t_o365_goldg_cap4m_intra.py 32
_base_ = './glipv2_t_swin-t_o365_goldg_cap4m.py'

model = dict(inter_image_loss=None, mask_tokens=None, mlm_head=None)
