# PhraseCut (tools/dataset_converters/phrase_cut.py): IoU of the pixels that a phrase means. The model reads
# each phrase as a caption of its own, so there is no vocabulary to set.
_base_ = ['./glip_pipelines.py']

phrase_masks_pipeline = [
    {{_base_.load}},
    {{_base_.test_resize}},
    # Behind the resizing, so that masks stay in the size of the original image.
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False),
    {{_base_.caption}},
    {{_base_.pack}},
]
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ODVGDataset',
        data_root='data/phrase_cut/',
        ann_file='odvg_val.jsonl',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=phrase_masks_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ODVGDataset',
        data_root='data/phrase_cut/',
        ann_file='odvg_test.jsonl',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=phrase_masks_pipeline))
val_evaluator = dict(type='mmclip.PhraseMaskIoU')
test_evaluator = val_evaluator
