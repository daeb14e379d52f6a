# PointCLIP zero-shot on ModelNet40 with equal weights of the views: what the released forward computes. Issue
# #7 of the official repository reports 19.33.
#   python tools/test.py configs/point_clip/point_clip_rn50_modelnet40_zero_shot_uniform.py
_base_ = './point_clip_rn50_modelnet40_zero_shot.py'

custom_hooks = [dict(type='mmclip.VocabularyHook')]
