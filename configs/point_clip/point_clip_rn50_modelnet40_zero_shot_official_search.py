# As officially: weights of the views searched on the test labels. Results are named `..._official_search`, for
# they flatter; 20.18 in the paper.
#   python tools/test.py configs/point_clip/point_clip_rn50_modelnet40_zero_shot_official_search.py
_base_ = './point_clip_rn50_modelnet40_zero_shot.py'

custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.ViewWeightSearchHook', official_search=True)
]
