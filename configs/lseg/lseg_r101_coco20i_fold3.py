# Fold 3 (paper: 21.5 mIoU; paper only).
# python tools/train.py configs/lseg/lseg_r101_coco20i_fold3.py
_base_ = './lseg_r101_coco20i_fold0.py'
train_dataloader = dict(dataset=dict(fold=3))
val_dataloader = dict(dataset=dict(fold=3))
test_dataloader = dict(dataset=dict(fold=3))
