# GroupViT trained on GCC3M + GCC12M + YFCC14M captions with 3 noun prompts each (official README: VOC 52.3,
# Context 22.4, COCO-Object 24.3 mIoU, ImageNet 43.7; paper only, not measured here).
# Train: tools/dist_train.sh configs/group_vit/group_vit_gcc_yfcc.py 16   (effective batch 16 x 256 = 4096)
#        On fewer GPUs keep 4096: train_dataloader.batch_size=512 model.train_cfg.chunk_size=64 on 8, say
#        (cached gradients, the same as those of the whole batch; accumulation over small batches is not).
# Test:  the leaves *_voc.py, *_context.py, *_coco_object.py, *_imagenet.py; VOC is validated every epoch.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/group_vit.py',
    '../_base_/schedules/group_vit_30e.py',
    '../_base_/datasets/voc_group_vit.py',
    '../_base_/datasets/captions_gcc_yfcc.py',
]
default_scope = 'mmseg'
visualizer = dict(
    type='mmseg.SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [
    dict(type='mmclip.VocabularyHook', train=False),
    dict(type='mmclip.ContrastiveBatchHook'),
]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1, save_best='seg/mIoU', rule='greater'))
log_processor = dict(by_epoch=True)
sync_bn = 'torch'  # the projectors' batch norm over all processes
