# ViLD-text on OV-COCO 48/17 (paper, table 6, from memory: AP50 novel 5.9, base 61.8, all 47.2).
# Train: tools/dist_train.sh configs/vild/vild_text_r50_ov_coco.py 8 --auto-scale-lr
# Effective batch 256.
_base_ = './vild_r50_ov_coco.py'
custom_hooks = [dict(type='mmclip.VocabularyHook')]
model = dict(roi_head=dict(loss_distill=None))
train_pipeline = [*_base_.train_pipeline[:-2], dict(type='mmdet.PackDetInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
