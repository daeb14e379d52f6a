# ViLD whose trunk is CLIP's own ResNet-50, started from its weights (not in the paper; as in RegionCLIP and
# DetPro's successors). The rate of the trunk is a tenth.
# Train: tools/dist_train.sh configs/vild/vild_clip_rn50_lvis.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = './vild_r50_lvis.py'
model = dict(
    data_preprocessor=dict(
        mean=[122.7709383, 116.7460125, 104.09373615], std=[68.5005327, 66.6321579, 70.32316305]),
    backbone=dict(
        _delete_=True, type='mmclip.CLIPTrunk', model='RN50-quickgelu', pretrained='openai'))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
