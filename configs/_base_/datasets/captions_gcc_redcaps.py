# GCC3M + GCC12M + RedCaps12M with captions only (no noun prompts), else as captions_gcc_yfcc.py.
_base_ = './captions_gcc_yfcc.py'
data_root = 'data/'
train_pipeline = [
    dict(type='mmclip.NounPrompts', num_prompts=0, context_length=77),
    dict(type='mmclip.TimmAugment', size=224),
    dict(type='mmclip.ToBGR'),
    dict(type='mmclip.PackCLIPInputs', meta_keys=('texts', 'text_ids', 'img_path')),
]
train_dataloader = dict(
    dataset=dict(
        shards=[
            data_root + 'gcc3m_shards/gcc-train-{000000..000436}.tar',
            data_root + 'gcc12m_shards/gcc-conceptual-12m-{000000..001943}.tar',
            data_root + 'redcaps12m_shards/redcap12m-{000000..001211}.tar',
        ],
        epoch_size=2891445 + 11156203 + 11866987,
        pipeline=train_pipeline))
data_help = {'data/redcaps12m_shards': 'docs/en/datasets.md#captions-for-groupvit'}
