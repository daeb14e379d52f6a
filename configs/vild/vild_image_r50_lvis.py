# ViLD-image with ResNet-50 on LVIS v1 (paper, table 3): mask AP_r 11.2, AP 11.2 (from memory of the
# paper). Distillation only: words are met in testing.
# Train: tools/dist_train.sh configs/vild/vild_image_r50_lvis.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = './vild_r50_lvis.py'
model = dict(
    roi_head=dict(bbox_head=dict(with_cls_loss=False, classifier=dict(background=None))))
