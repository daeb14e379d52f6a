# PointCLIP zero-shot on ModelNet40, CLIP's RN50: top-1 20.18 in the paper, weights searched on test labels;
# here they are searched on a part of the training data. Not run here: neither the data nor the weights are
# there (docs/en/datasets.md; open_clip downloads OpenAI's at the first run).
#   python tools/test.py configs/point_clip/point_clip_rn50_modelnet40_zero_shot.py
_base_ = [
    '../_base_/default_runtime.py', '../_base_/datasets/modelnet40.py',
    '../_base_/models/point_clip_zero_shot.py'
]

default_scope = 'mmengine'
# Nothing is trained; the validation split is for the weights of the views.
train_dataloader = None
