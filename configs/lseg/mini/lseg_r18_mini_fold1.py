# Fold 1.
# python tools/train.py configs/lseg/mini/lseg_r18_mini_fold1.py
_base_ = './lseg_r18_mini_fold0.py'
train_dataloader = dict(dataset=dict(fold=1))
val_dataloader = dict(dataset=dict(fold=1))
test_dataloader = dict(dataset=dict(fold=1))
