# Ablation of GLIP-T (C), an option of the official code without a row in the paper: as in MDETR, 256 outputs for the
# places of the caption are scored, and cosines of places and words are trained beside them by a contrastive loss.
# Train: bash tools/dist_train.sh configs/glip/glip_c_swin-t_o365_goldg_contrastive.py 32
_base_ = './glip_c_swin-t_o365_goldg.py'
model = dict(
    bbox_head=dict(
        alignment=dict(type='mmclip.FixedTokenAlignment'),
        contrast=dict(type='mmclip.ContrastiveAlignment')))
