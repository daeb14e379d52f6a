# GLIPv2-T fine-tuned on LVIS with masks; fixed AP of boxes and masks on minival. Box AP 50.6 (paper; not measured
# here).
# Train: bash tools/dist_train.sh configs/glipv2/glipv2_t_swin-t_lvis_finetune.py 16 --cfg-options load_from=glipv2_t.pth
# Test:  python tools/test.py configs/glipv2/glipv2_t_swin-t_lvis_finetune.py CHECKPOINT
# Effective batch 32; length and rate are GLIP's.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glipv2_swin_t_masks.py',
    '../_base_/datasets/glipv2_lvis_masks.py',
    '../_base_/schedules/glip_finetune.py',
]
default_scope = 'mmdet'
default_hooks = dict(checkpoint_check=dict(new_modules=['bbox_head.mask_head']))
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

# The best 1000 detections of all captions get masks of the image's size, in memory at once; boxes as the official
# evaluation takes them.
model = dict(test_cfg=dict(chunk_size=40, max_per_img=300, max_total=1000, inclusive=True))
