# The model of GCC + YFCC on PASCAL VOC 2012 val: official README 52.3 mIoU (not measured here).
# The background threshold is the released model's (the paper's text says 0.9).
#   python tools/convert_checkpoint.py group_vit group_vit_gcc_yfcc_30e-879422e0.pth weights.pth
#   python tools/test.py configs/group_vit/group_vit_gcc_yfcc_voc.py weights.pth
_base_ = [
    '../_base_/mmseg_runtime.py',
    '../_base_/models/group_vit.py',
    '../_base_/schedules/group_vit_test.py',
    '../_base_/datasets/voc_group_vit.py',
]
model = dict(test_cfg=dict(bg_thresh=0.95))
