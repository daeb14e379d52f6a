# Ablation of GLIP-T (C), an option of the official code without a row in the paper: words read nothing (MHA-S).
# Train: bash tools/dist_train.sh configs/glip/glip_c_swin-t_o365_goldg_mha_s.py 32
_base_ = './glip_c_swin-t_o365_goldg.py'
model = dict(fusion=dict(fusion=dict(kind='MHA-S')))
