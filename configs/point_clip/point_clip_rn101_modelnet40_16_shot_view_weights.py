# The weights of the 10 views searched on a part of the training data: all 4^10 combinations, some minutes on a
# CPU. Over 87 officially, searched on the test labels.
#   python tools/test.py configs/point_clip/point_clip_rn101_modelnet40_16_shot_view_weights.py CHECKPOINT
_base_ = './point_clip_rn101_modelnet40_16_shot.py'

custom_hooks = [dict(type='mmclip.VocabularyHook'), dict(type='mmclip.ViewWeightSearchHook')]
