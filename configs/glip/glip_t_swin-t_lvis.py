# GLIP-T fine-tuned on LVIS v1; tests on the whole validation set (zero-shot there: 17.2 AP, paper table 2; not
# measured here).
# Train: bash tools/dist_train.sh configs/glip/glip_t_swin-t_lvis.py 16 --cfg-options load_from=glip.pth
# Test:  python tools/test.py configs/glip/glip_t_swin-t_lvis.py CHECKPOINT
# Effective batch 32.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_t.py',
    '../_base_/datasets/glip_lvis.py',
    '../_base_/schedules/glip_finetune.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

model = dict(test_cfg=dict(chunk_size=40, max_per_img=300, max_total=-1, inclusive=True))
