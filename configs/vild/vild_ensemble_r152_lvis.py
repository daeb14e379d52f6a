# ViLD-ensemble with ResNet-152 on LVIS v1 (released weights; w = 2): mask AP_r 19.2, AP 26.2 (README).
# Train: tools/dist_train.sh configs/vild/vild_ensemble_r152_lvis.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = './vild_ensemble_r50_lvis.py'
model = dict(backbone=dict(depth=152), roi_head=dict(loss_distill=dict(loss_weight=2.0)))
