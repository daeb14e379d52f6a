# One of ODinW's sets for full, linear-probe or prompt tuning: here Aquarium. Another one: give its folder as
# data_root of the three data sets and its annotation file to the evaluators (odinw35.py lists them).
# Few shots: ann_file='train/fewshot_train_shot{1,3,5,10}_seed{3,30,300}.json' and times=8, 4, 2, 1.
_base_ = ['./glip_pipelines.py']

data_root = 'data/odinw/Aquarium/Aquarium Combined.v2-raw-1024.coco/'
prompts = {
    'penguin': dict(suffix=', which is black and white'),
    'puffin': dict(suffix=' with orange beaks'),
    'stingray': dict(suffix=' which is flat and round')
}
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmengine.RepeatDataset',
        times=1,
        dataset=dict(
            type='mmclip.OpenVocabLVISDataset',
            data_root=data_root,
            ann_file='train/annotations_without_background.json',
            data_prefix=dict(img='train/'),
            load_masks=False,
            return_classes=True,
            caption_prompt=prompts,
            filter_cfg=dict(filter_empty_gt=True),
            pipeline={{_base_.all_classes_pipeline}})))
odinw_pipeline = [
    {{_base_.load}},
    {{_base_.test_resize}},
    dict(
        type='mmclip.DetToGrounding',
        tokenizer={{_base_.tokenizer}},
        all_classes=True),
    {{_base_.pack}},
]
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
        return_classes=True,
        caption_prompt=prompts,
        test_mode=True,
        pipeline=odinw_pipeline))
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
        return_classes=True,
        caption_prompt=prompts,
        test_mode=True,
        pipeline=odinw_pipeline))
val_evaluator = dict(
    type='mmclip.OpenVocabLVISMetric',
    ann_file=data_root + 'valid/annotations_without_background.json',
    max_dets=100)
test_evaluator = dict(
    type='mmclip.OpenVocabLVISMetric',
    ann_file=data_root + 'test/annotations_without_background.json',
    max_dets=100)
