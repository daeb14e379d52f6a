# One of ODinW's sets for fine-tuning, all its classes in one caption. Another set: data_root, ann_file and
# data_prefix of the three loaders and of the evaluator (odinw35.py lists them). Few shots: the training
# loader's ann_file='train/fewshot_train_shot{1,3,5,10}_seed{3,30,300}.json', in an mmengine.RepeatDataset of
# times=8, 4, 2, 1.
_base_ = ['./glip_pipelines.py']

data_root = 'data/odinw/Aquarium/Aquarium Combined.v2-raw-1024.coco/'
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root=data_root,
        ann_file='train/annotations_without_background.json',
        data_prefix=dict(img='train/'),
        load_masks=False,
        return_classes=True,
        filter_cfg=dict(filter_empty_gt=False),
        pipeline={{_base_.all_classes_pipeline}}))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root=data_root,
        ann_file='valid/annotations_without_background.json',
        data_prefix=dict(img='valid/'),
        load_masks=False,
        test_mode=True,
        pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.OpenVocabLVISDataset',
        data_root=data_root,
        ann_file='test/annotations_without_background.json',
        data_prefix=dict(img='test/'),
        load_masks=False,
        test_mode=True,
        pipeline={{_base_.test_pipeline}}))
val_evaluator = dict(
    type='mmclip.OpenVocabLVISMetric',
    ann_file=data_root + 'valid/annotations_without_background.json',
    max_dets=100,
    prefix='coco')
test_evaluator = dict(
    type='mmclip.OpenVocabLVISMetric',
    ann_file=data_root + 'test/annotations_without_background.json',
    max_dets=100,
    prefix='coco')
