# ViLD-ensemble with ResNet-152 and the official released weights, converted (see vild_r50_lvis_tf.py).
# Released weights: mask AP_r 19.2, AP 26.2 (their README); not measured here.
# Test: python tools/test.py configs/vild/vild_ensemble_r152_lvis_tf.py vild_ensemble_r152.pth
_base_ = './vild_ensemble_r50_lvis_tf.py'
model = dict(backbone=dict(depth=152))
