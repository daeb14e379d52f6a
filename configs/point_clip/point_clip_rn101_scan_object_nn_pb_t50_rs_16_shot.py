# PointCLIP with 16 clouds per class on ScanObjectNN, PB_T50_RS, CLIP's RN101; the paper shows it in a plot
# only. The recipe is ModelNet40's. Not run here: neither the data nor the weights are there
# (docs/en/datasets.md).
#   python tools/train.py configs/point_clip/point_clip_rn101_scan_object_nn_pb_t50_rs_16_shot.py
_base_ = [
    '../_base_/default_runtime.py', '../_base_/datasets/scan_object_nn.py',
    '../_base_/models/point_clip_few_shot.py', '../_base_/schedules/point_clip_250e.py'
]

default_scope = 'mmengine'
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=50, save_best='accuracy/top1'))
log_processor = dict(by_epoch=True)
