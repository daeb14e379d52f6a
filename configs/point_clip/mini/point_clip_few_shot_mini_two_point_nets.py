# The control of the ensemble: two PointNets of different seeds, the ratio searched on the validation split.
#   python tools/test.py configs/point_clip/mini/point_clip_few_shot_mini_two_point_nets.py \
#     --cfg-options model.own.pretrained=A.pth model.other.pretrained=B.pth
_base_ = './point_clip_few_shot_mini.py'

point_net = dict(model=dict(type='mmclip.PointNetClassifier', num_classes=12), pretrained=None)
model = dict(_delete_=True, type='mmclip.LogitEnsemble', own=point_net, other=point_net)
custom_hooks = [
    dict(type='mmclip.VocabularyHook'),
    dict(type='mmclip.LogitRatioSearchHook')
]
needs_checkpoint = False  # both are named by options
