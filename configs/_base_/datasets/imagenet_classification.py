# ImageNet's validation images in 1000 folders named by WordNet id: docs/en/datasets.md. The names are
# those of the official notebook, in the order of the ids. Images as the CLIPs of 224 px see them.
data_root = 'data/imagenet/'

test_pipeline = [
    dict(type='mmclip.LoadPILImage'),
    dict(type='mmclip.CLIPResizeCrop', size=224),
    dict(type='mmclip.PackCLIPInputs'),
]
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.ImageFolder',
        data_root=data_root + 'val',
        classes='imagenet',
        test_mode=True,
        pipeline=test_pipeline))
test_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5))
test_cfg = dict()
