# Transfer of the ensemble: COCO has no base classes, so all have one share of the image branch.
# Test: python tools/test.py configs/vild/vild_ensemble_r50_lvis_to_coco.py CHECKPOINT_OF_vild_ensemble_r50_lvis
_base_ = './vild_r50_lvis_to_coco.py'
model = dict(
    roi_head=dict(bbox_head=dict(image_branch=True)),
    test_cfg=dict(rcnn=dict(ensemble=dict(fixed=1 / 3))))
