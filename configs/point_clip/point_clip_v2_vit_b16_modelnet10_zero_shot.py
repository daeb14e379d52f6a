# PointCLIP V2 zero-shot on ModelNet10, CLIP's ViT-B/16, with one template for all classes and weights of the
# views searched on a part of the training data. Top-1 73.13 in the paper, with a sentence per class by a
# language model and weights, both searched on the test labels. Not run here: neither the data nor the weights
# are there (docs/en/datasets.md; open_clip downloads OpenAI's at the first run).
#   python tools/test.py configs/point_clip/point_clip_v2_vit_b16_modelnet10_zero_shot.py
_base_ = [
    '../_base_/default_runtime.py', '../_base_/datasets/modelnet10.py', '../_base_/models/point_clip_v2.py'
]

default_scope = 'mmengine'
# Nothing is trained; the validation split is for the weights of the views.
train_dataloader = None
