# Ablation of GLIP-T (C), an option of the official code without a row in the paper: the mean of the words scales and
# shifts the maps (FiLM); words read nothing.
# Train: bash tools/dist_train.sh configs/glip/glip_c_swin-t_o365_goldg_film.py 32
_base_ = './glip_c_swin-t_o365_goldg.py'
model = dict(
    fusion=dict(fusion=dict(_delete_=True, kind='FILM'), text_layer=None),
    bbox_head=dict(fused_text=False))
