# Transfer: ViLD trained on LVIS, tested on Objects365 v2's 365 classes by changing the words alone (paper,
# table 5: box AP 11.8, of version 1).
# Test: python tools/test.py configs/vild/vild_r50_lvis_to_objects365.py CHECKPOINT_OF_vild_r50_lvis
_base_ = './vild_r50_lvis_to_coco.py'
ann_file = 'annotations/zhiyuan_objv2_val.json'
val_dataloader = dict(
    dataset=dict(
        type='mmdet.Objects365V2Dataset',
        data_root='data/objects365v2/',
        ann_file=ann_file,
        data_prefix=dict(img='val/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/objects365v2/' + ann_file, metric='bbox')
test_evaluator = val_evaluator
