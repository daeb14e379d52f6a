# Fold 2.
# python tools/train.py configs/lseg/mini/lseg_r18_mini_fold2.py
_base_ = './lseg_r18_mini_fold0.py'
train_dataloader = dict(dataset=dict(fold=2))
val_dataloader = dict(dataset=dict(fold=2))
test_dataloader = dict(dataset=dict(fold=2))
