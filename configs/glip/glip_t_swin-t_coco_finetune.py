# GLIP-T fine-tuned on COCO (paper table 1: 54.9 AP on val; not measured here): all 80 classes in one caption.
# Train: bash tools/dist_train.sh configs/glip/glip_t_swin-t_coco_finetune.py 16 --cfg-options load_from=glip.pth
# Effective batch 32.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t.py',
    '../_base_/datasets/glip_coco.py',
    '../_base_/schedules/glip_finetune.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
