# Two stages on GCC12M alone, what the paper's ablations train on (41.1 mIoU on VOC; recalled from the paper).
# Train: bash tools/dist_train.sh configs/group_vit/group_vit_gcc12m.py 16   (effective batch 16 x 256)
# Test:  python tools/test.py configs/group_vit/group_vit_gcc12m.py CHECKPOINT   (VOC)
_base_ = [
    '../_base_/mmseg_runtime.py',
    '../_base_/models/group_vit.py',
    '../_base_/schedules/group_vit_30e.py',
    '../_base_/datasets/voc_group_vit.py',
    '../_base_/datasets/captions_gcc12m.py',
]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1, save_best='seg/mIoU', rule='greater'))
log_processor = dict(by_epoch=True)
