# The image encoder starts from supervised classification (start_r18_mini.py) instead of the mini CLIP, as the
# paper's starts from ImageNet; the paper finds it better than CLIP's.
# python tools/train.py configs/lseg/mini/lseg_r18_mini_supervised.py
_base_ = './lseg_r18_mini.py'
model = dict(
    backbone=dict(
        pretrained=None,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/start_r18_mini/iter_1000.pth',
            prefix='backbone.visual.')))
