# GroupViT trained on GCC3M + GCC12M + YFCC14M captions with 3 noun prompts each (official README: VOC 52.3,
# Context 22.4, COCO-Object 24.3 mIoU, ImageNet 43.7; paper only, not measured here).
# Train: bash tools/dist_train.sh configs/group_vit/group_vit_gcc_yfcc.py 16   (effective batch 16 x 256)
#        On fewer GPUs keep 4096 images by cached gradients, the same as those of the whole batch, e.g. on 8:
#        --cfg-options train_dataloader.batch_size=512 model.train_cfg.chunk_size=128 \
#            model.decode_head.chunk_size=512
#        (accumulation over small batches is another loss and is warned of).
# Test:  python tools/test.py configs/group_vit/group_vit_gcc_yfcc.py CHECKPOINT   (VOC; also every epoch), and
#        the leaves *_context.py, *_coco_object.py, *_imagenet.py.
_base_ = [
    '../_base_/mmseg_runtime.py',
    '../_base_/models/group_vit.py',
    '../_base_/schedules/group_vit_30e.py',
    '../_base_/datasets/voc_group_vit.py',
    '../_base_/datasets/captions_gcc_yfcc.py',
]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1, save_best='seg/mIoU', rule='greater'))
log_processor = dict(by_epoch=True)
