# Fold 3.
# python tools/train.py configs/lseg/mini/lseg_r18_mini_fold3.py
_base_ = './lseg_r18_mini_fold0.py'
train_dataloader = dict(dataset=dict(fold=3))
val_dataloader = dict(dataset=dict(fold=3))
test_dataloader = dict(dataset=dict(fold=3))
