# The model of GCC + RedCaps on Pascal Context val: official README 23.7 mIoU (not measured here).
# The background threshold is the released model's (the paper's text says 0.5).
#   python tools/convert_checkpoint.py group_vit group_vit_gcc_redcap_30e-3dd09a76.pth weights.pth
#   python tools/test.py configs/group_vit/group_vit_gcc_redcaps_context.py weights.pth
_base_ = [
    '../_base_/mmseg_runtime.py',
    '../_base_/models/group_vit.py',
    '../_base_/schedules/group_vit_test.py',
    '../_base_/datasets/pascal_context_group_vit.py',
]
model = dict(test_cfg=dict(bg_thresh=0.35), decode_head=dict(multi_label=0))
