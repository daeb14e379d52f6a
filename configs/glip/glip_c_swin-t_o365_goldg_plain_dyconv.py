# Ablation of GLIP-T (C), an option of the official code without a row in the paper: DyHead blocks without deformable convolutions.
# Train: bash tools/dist_train.sh configs/glip/glip_c_swin-t_o365_goldg_plain_dyconv.py 32
_base_ = './glip_c_swin-t_o365_goldg.py'
model = dict(fusion=dict(dyconv=dict(deform=False)))
