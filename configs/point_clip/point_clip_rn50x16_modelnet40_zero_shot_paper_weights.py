# The settings of the paper's best zero-shot row (from memory): distance, resolution and weights of the views.
# 23.78 in the paper (from memory).
#   python tools/test.py configs/point_clip/point_clip_rn50x16_modelnet40_zero_shot_paper_weights.py
_base_ = './point_clip_rn50x16_modelnet40_zero_shot.py'

model = dict(projector=dict(resolution=121, distance=1.6), view_weights=[3, 9, 5, 4, 5, 4])
custom_hooks = [dict(type='mmclip.VocabularyHook')]
