# As officially: all 4^10 combinations searched on the test labels; results are named `..._official_search`.
# Over 87 by the released adapter.
#   python tools/test.py configs/point_clip/point_clip_rn101_modelnet40_16_shot_official_search.py CHECKPOINT
_base_ = './point_clip_rn101_modelnet40_16_shot.py'

custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.ViewWeightSearchHook', official_search=True)
]
