# Ablation of GLIP-T (C), an option of the official code without a row in the paper: cosines as in MDETR instead of dot products.
# Train: bash tools/dist_train.sh configs/glip/glip_c_swin-t_o365_goldg_contrastive.py 32
_base_ = './glip_c_swin-t_o365_goldg.py'
model = dict(bbox_head=dict(alignment=dict(type='mmclip.ContrastiveAlignment')))
