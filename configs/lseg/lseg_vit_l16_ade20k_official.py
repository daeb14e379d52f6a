# The words of the official code and its checkpoint (demo_e200.ckpt): the first word of each name, with
# 'screen' twice (paper table 6: 46.28 mIoU; paper only).
# python tools/test.py configs/lseg/lseg_vit_l16_ade20k_official.py CHECKPOINT
_base_ = './lseg_vit_l16_ade20k.py'
train_dataloader = dict(dataset=dict(classes='ade20k_official'))
val_dataloader = dict(dataset=dict(classes='ade20k_official'))
test_dataloader = dict(dataset=dict(classes='ade20k_official'))
