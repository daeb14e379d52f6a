# Ablation of GLIP-T (C), an option of the official code without a row in the paper: 256 outputs for the places of the
# caption, which are compared with no words.
# Train: bash tools/dist_train.sh configs/glip/glip_c_swin-t_o365_goldg_fixed_tokens.py 32
_base_ = './glip_c_swin-t_o365_goldg.py'
model = dict(bbox_head=dict(alignment=dict(type='mmclip.FixedTokenAlignment')))
find_unused_parameters = True  # of the last block: nobody reads its words
