# Fold 2 (paper: 24.9 mIoU; paper only).
# python tools/train.py configs/lseg/lseg_r101_coco20i_fold2.py
_base_ = './lseg_r101_coco20i_fold0.py'
train_dataloader = dict(dataset=dict(fold=2))
val_dataloader = dict(dataset=dict(fold=2))
test_dataloader = dict(dataset=dict(fold=2))
