# Ablation of GLIP-T (C), an option of the official code without a row in the paper: places are compared with the words as BERT gives them.
# Train: bash tools/dist_train.sh configs/glip/glip_c_swin-t_o365_goldg_unfused_text.py 32
_base_ = './glip_c_swin-t_o365_goldg.py'
model = dict(fusion=dict(last_text_layer=False), bbox_head=dict(fused_text=False))
find_unused_parameters = True
