# ViLD-ensemble with the official released weights, converted (see vild_r50_lvis_tf.py).
# Released R50 weights: mask AP_r 18.0, AP 25.9 (their README); not measured here.
# Test: python tools/test.py configs/vild/vild_ensemble_r50_lvis_tf.py vild_ensemble_r50.pth
_base_ = './vild_r50_lvis_tf.py'
model = dict(roi_head=dict(bbox_head=dict(image_branch=True)))
