# PointCLIP zero-shot on MiniWorld's clouds: six views of equal weight, nothing is trained.
# What it reaches: configs/point_clip/README.md (measured here).
#   python tools/make_mini_world.py --out data/mini_world --parts points
#   python tools/test.py configs/point_clip/mini/point_clip_zero_shot_mini.py
_base_ = [
    '../../_base_/default_runtime.py', '../../_base_/datasets/mini_world_points.py',
    '../../_base_/models/point_clip_mini.py'
]

default_scope = 'mmengine'
needs_checkpoint = False  # `pretrained` is all there is
train_dataloader = None
