# Fold 1 (paper: 53.8 mIoU; paper only).
# python tools/train.py configs/lseg/lseg_r101_pascal5i_fold1.py
_base_ = './lseg_r101_pascal5i_fold0.py'
train_dataloader = dict(dataset=dict(fold=1))
val_dataloader = dict(dataset=dict(fold=1))
test_dataloader = dict(dataset=dict(fold=1))
