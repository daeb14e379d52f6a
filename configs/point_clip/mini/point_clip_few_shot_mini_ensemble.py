# The 16-shot adapter and a 16-shot PointNet, logits added; the ratio is searched on the validation split.
#   python tools/train.py configs/point_clip/mini/point_clip_few_shot_mini.py
#   python tools/train.py configs/point_clip/mini/point_net_mini.py
#   python tools/test.py configs/point_clip/mini/point_clip_few_shot_mini_ensemble.py
_base_ = './point_clip_few_shot_mini.py'

point_net = dict(type='mmclip.PointNetClassifier', num_classes=12)
model = dict(
    adapter=dict(pretrained='work_dirs/point_clip_few_shot_mini/last.pth'),
    ensemble=dict(model=point_net, pretrained='work_dirs/point_net_mini/last.pth'))
custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.LogitRatioSearchHook')
]
needs_checkpoint = False  # both are named above
