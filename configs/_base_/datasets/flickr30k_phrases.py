# Flickr30k Entities: recall of phrases on val (1000 images) and test (1000), any-box protocol. The model
# reads each caption, so there is no vocabulary to set.
_base_ = ['./glip_pipelines.py']

val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ODVGDataset',
        data_root='data/flickr30k_entities/',
        ann_file='odvg_val.jsonl',
        data_prefix=dict(img='flickr30k_images/'),
        test_mode=True,
        pipeline={{_base_.phrases_pipeline}}))
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ODVGDataset',
        data_root='data/flickr30k_entities/',
        ann_file='odvg_test.jsonl',
        data_prefix=dict(img='flickr30k_images/'),
        test_mode=True,
        pipeline={{_base_.phrases_pipeline}}))
val_evaluator = dict(type='mmclip.PhraseRecall')
test_evaluator = val_evaluator
