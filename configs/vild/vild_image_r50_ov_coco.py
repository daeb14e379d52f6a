# ViLD-image on OV-COCO 48/17 (paper, table 6, from memory: AP50 novel 24.1, base 34.2, all 31.6).
# Train: tools/dist_train.sh configs/vild/vild_image_r50_ov_coco.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = './vild_r50_ov_coco.py'
model = dict(
    roi_head=dict(bbox_head=dict(with_cls_loss=False, classifier=dict(background=None))))
