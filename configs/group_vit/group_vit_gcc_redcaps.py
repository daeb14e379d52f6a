# GroupViT trained on GCC3M + GCC12M + RedCaps12M captions, no noun prompts (official README: VOC 50.8,
# Context 23.7, COCO-Object 27.5 mIoU, ImageNet 51.6; paper only, not measured here).
# Train: bash tools/dist_train.sh configs/group_vit/group_vit_gcc_redcaps.py 16   (effective batch 16 x 256)
_base_ = [
    '../_base_/mmseg_runtime.py',
    '../_base_/models/group_vit.py',
    '../_base_/schedules/group_vit_30e.py',
    '../_base_/datasets/voc_group_vit.py',
    '../_base_/datasets/captions_gcc_redcaps.py',
]
model = dict(decode_head=dict(multi_label=0))
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1, save_best='seg/mIoU', rule='greater'))
log_processor = dict(by_epoch=True)
