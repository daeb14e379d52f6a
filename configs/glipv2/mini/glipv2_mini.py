# GLIPv2 on MiniWorld: boxes, phrases and masks of base things, regions compared with the words of all images of
# a batch, masked words. Tested on all 384 names: box and mask AP of base, novel, unseen.
# Train: python tools/train.py configs/glipv2/mini/glipv2_mini.py
# Test:  python tools/test.py configs/glipv2/mini/glipv2_mini.py work_dirs/glipv2_mini/iter_1200.pth
# Effective batch 8.
_base_ = [
    '../../_base_/mmdet_runtime.py',
    '../../_base_/models/glipv2_mini.py',
    '../../_base_/datasets/mini_world_glipv2.py',
    '../../_base_/schedules/glip_mini.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

model = dict(
    inter_image_loss=dict(type='mmclip.InterImageRegionWordLoss', max_regions=50),
    mask_tokens=dict(type='mmclip.MaskTokens'),
    mlm_head=dict(type='mmclip.MLMHead', loss_weight=0.2),
    train_cfg=dict(mask_regions=32))
