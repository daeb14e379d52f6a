# ViLD-image on MiniWorld: distillation only, words are met in testing.
# Train: python tools/train.py configs/vild/mini/vild_image_r18_mini.py     # after the steps of vild_r18_mini.py
_base_ = './vild_r18_mini.py'
model = dict(
    roi_head=dict(bbox_head=dict(with_cls_loss=False, classifier=dict(background=None))))
