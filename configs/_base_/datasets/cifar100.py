# CIFAR-100's test images (torchvision's archive in data/cifar100): docs/en/datasets.md.
test_pipeline = [
    dict(type='mmclip.CLIPResizeCrop', size=224),
    dict(type='mmclip.PackCLIPInputs'),
]
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmclip.CIFAR',
        data_root='data/cifar100',
        version=100,
        test_mode=True,
        pipeline=test_pipeline))
test_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5))
test_cfg = dict()
