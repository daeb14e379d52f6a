# ViLD with ResNet-152 on LVIS v1 (released weights; w = 1): mask AP_r 19.6, AP 24.0 (their README).
# Train: tools/dist_train.sh configs/vild/vild_r152_lvis.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = './vild_r50_lvis.py'
model = dict(backbone=dict(depth=152), roi_head=dict(loss_distill=dict(loss_weight=1.0)))
