# Fold 3 (paper: 41.0 mIoU; paper only).
# python tools/train.py configs/lseg/lseg_vit_l16_pascal5i_fold3.py
_base_ = './lseg_vit_l16_pascal5i_fold0.py'
train_dataloader = dict(dataset=dict(fold=3))
val_dataloader = dict(dataset=dict(fold=3))
test_dataloader = dict(dataset=dict(fold=3))
