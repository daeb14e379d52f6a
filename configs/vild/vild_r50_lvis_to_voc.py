# Transfer: ViLD trained on LVIS, tested on PASCAL VOC 2007's 20 classes by changing the words alone (paper,
# table 5: AP50 72.2). The words are those of the dataset ('pottedplant').
# Test: python tools/test.py configs/vild/vild_r50_lvis_to_voc.py CHECKPOINT_OF_vild_r50_lvis
_base_ = './vild_r50_lvis_to_coco.py'
test_pipeline = [
    dict(type='mmcv.LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(1024, 1024), keep_ratio=True),
    # Behind the resizing: the metric judges in the pixels of the original image.
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'text',
                   'custom_entities', 'tokens_positive')),
]
val_dataloader = dict(
    dataset=dict(
        type='mmdet.VOCDataset',
        data_root='data/VOCdevkit/',
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(_delete_=True, sub_data_root='VOC2007/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='mmdet.VOCMetric', metric='mAP', eval_mode='11points')
test_evaluator = val_evaluator
