# GCC3M + GCC12M + YFCC14M, the images that the authors could still get (their counts), as WebDataset
# shards: docs/en/datasets.md. One epoch is total // global batch iterations.
data_root = 'data/'
train_pipeline = [
    dict(
        type='mmclip.NounPrompts',
        num_prompts=3,
        templates='imagenet_80',
        source='auto',
        context_length=77),
    dict(type='mmclip.TimmAugment', size=224),
    dict(type='mmclip.ToBGR'),
    dict(type='mmclip.PackCLIPInputs', meta_keys=('texts', 'text_ids', 'img_path')),
]
train_dataloader = dict(
    batch_size=256,
    num_workers=6,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mmclip.ShardSampler'),
    dataset=dict(
        type='mmclip.CaptionShards',
        shards=[
            data_root + 'gcc3m_shards/gcc-train-{000000..000436}.tar',
            data_root + 'gcc12m_shards/gcc-conceptual-12m-{000000..001943}.tar',
            data_root + 'yfcc14m_shards/yfcc14m-{000000..001888}.tar',
        ],
        epoch_size=2891445 + 11156203 + 14615499,
        shuffle=10000,
        pipeline=train_pipeline))
data_help = {
    'data/gcc3m_shards': 'docs/en/datasets.md#captions-for-groupvit',
    'data/gcc12m_shards': 'docs/en/datasets.md#captions-for-groupvit',
    'data/yfcc14m_shards': 'docs/en/datasets.md#captions-for-groupvit',
}
