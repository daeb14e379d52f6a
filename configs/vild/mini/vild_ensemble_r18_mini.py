# ViLD-ensemble on MiniWorld: a trunk for the words and one for the teacher's regions.
# Train: python tools/train.py configs/vild/mini/vild_ensemble_r18_mini.py   # after the steps of vild_r18_mini.py
_base_ = './vild_r18_mini.py'
model = dict(roi_head=dict(bbox_head=dict(image_branch=True)))
