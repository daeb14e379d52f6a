# Transfer: ViLD trained on LVIS, tested on COCO's 80 classes by changing the words alone (paper, table 5:
# box AP 36.6). No training.
# Test: python tools/test.py configs/vild/vild_r50_lvis_to_coco.py CHECKPOINT_OF_vild_r50_lvis
_base_ = './vild_r50_lvis.py'
model = dict(
    roi_head=dict(bbox_head=dict(classifier=dict(vocabulary_file=None))))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmdet.CocoDataset',
        data_root='data/coco/',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='mmdet.CocoMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['bbox', 'segm'])
test_evaluator = val_evaluator
