# ViLD-text as Faster R-CNN: boxes only, so LVIS without masks. No figure in the paper.
# Train: tools/dist_train.sh configs/vild/vild_text_faster_r50_lvis.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = [
    '../_base_/mmdet_runtime.py',
    '../_base_/models/vild_r50.py',
    '../_base_/datasets/lvis_detection.py',
    '../_base_/schedules/vild_180k.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
custom_hooks = [dict(type='mmclip.VocabularyHook')]
sync_bn = 'torch'
image_size = (1024, 1024)
model = dict(
    data_preprocessor=dict(
        pad_mask=False,
        batch_augments=[dict(type='mmdet.BatchFixedSizePad', size=image_size, img_pad_value=0)]),
    roi_head=dict(mask_roi_extractor=None, mask_head=None))
