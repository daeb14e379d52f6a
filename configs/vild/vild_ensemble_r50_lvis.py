# ViLD-ensemble with ResNet-50 on LVIS v1 (paper, table 3; w = 0.5): mask AP_r 16.6, AP 25.5; the released
# weights reach 18.0 and 25.9 (their README).
# Train: tools/dist_train.sh configs/vild/vild_ensemble_r50_lvis.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = './vild_r50_lvis.py'
model = dict(roi_head=dict(bbox_head=dict(image_branch=True)))
