# The released adapter, 86.71 on ModelNet40 by the official repository; after
#   mmclip convert point_clip model-best.pth.tar checkpoints/point_clip_rn101_adapter.safetensors
#   python tools/test.py configs/point_clip/point_clip_rn101_modelnet40_16_shot_released.py
_base_ = './point_clip_rn101_modelnet40_16_shot.py'

model = dict(adapter=dict(pretrained='checkpoints/point_clip_rn101_adapter.safetensors'))
needs_checkpoint = False  # two `pretrained` are all there is
