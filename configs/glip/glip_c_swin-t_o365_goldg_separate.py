# Ablation of GLIP-T (C), an option of the official code without a row in the paper: each level is fused with the words of its own.
# Train: bash tools/dist_train.sh configs/glip/glip_c_swin-t_o365_goldg_separate.py 32
_base_ = './glip_c_swin-t_o365_goldg.py'
model = dict(fusion=dict(fusion=dict(separate=True)))
