# ViLD-text with ResNet-50 on LVIS v1 (paper, table 3): mask AP_r 10.1, AP 24.9. No distillation.
# Train: tools/dist_train.sh configs/vild/vild_text_r50_lvis.py 8 --auto-scale-lr
# Effective batch 256. Figures are the paper's.
_base_ = './vild_r50_lvis.py'
custom_hooks = [dict(type='mmclip.VocabularyHook')]
model = dict(roi_head=dict(loss_distill=None))
train_pipeline = [*_base_.train_pipeline[:-2], dict(type='mmdet.PackDetInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
