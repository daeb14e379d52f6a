# GLIPv2-T fine-tuned on COCO, all 80 classes in one caption, boxes and masks. Test-dev box AP 55.5, mask AP 42.0
# (from the paper by memory; not measured here).
# Train: bash tools/dist_train.sh configs/glipv2/glipv2_t_swin-t_coco_finetune.py 16 --cfg-options load_from=glipv2_t.pth
# Test:  python tools/test.py configs/glipv2/glipv2_t_swin-t_coco_finetune.py CHECKPOINT
# Effective batch 32; length and rate are GLIP's.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glipv2_swin_t_masks.py',
    '../_base_/datasets/glipv2_coco_masks.py',
    '../_base_/schedules/glip_finetune.py',
]
default_scope = 'mmdet'
default_hooks = dict(checkpoint_check=dict(new_modules=['bbox_head.mask_head']))
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
