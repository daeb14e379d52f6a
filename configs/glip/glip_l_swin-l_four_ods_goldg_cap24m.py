# GLIP-L (paper table 1): Swin-L, eight blocks, FourODs, GoldG and 24 million web captions. Zero-shot COCO 49.8
# (released checkpoint 51.4), LVIS minival 37.3 AP, Flickr30k test R@1 87.1, ODinW-13 52.1 (paper; not measured
# here).
# Train:   bash tools/dist_train.sh configs/glip/glip_l_swin-l_four_ods_goldg_cap24m.py 64
# Convert: python tools/convert_checkpoint.py glip glip_large_model.pth glip_l.pth
# Test:    python tools/test.py configs/glip/glip_l_swin-l_four_ods_goldg_cap24m.py glip_l.pth
# Effective batch 64, one image per process.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/glip_swin_l.py',
    '../_base_/datasets/glip_four_ods_goldg_cap24m.py',
    '../_base_/schedules/glip.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')

train_dataloader = dict(batch_size=1)
train_cfg = dict(max_iters=1_000_000)
optim_wrapper = dict(optimizer=dict(weight_decay=0.01))
# The decay of weights falls as well, at two thirds of the milestones.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2001),
    dict(type='MultiStepLR', by_epoch=False, milestones=[670_000, 890_000], gamma=0.1),
    dict(
        type='MultiStepParamScheduler',
        param_name='weight_decay',
        by_epoch=False,
        milestones=[446_890, 593_630],
        gamma=0.1),
]
custom_hooks = [dict(type='mmclip.VocabularyHook', train=False)]
