# GCC12M alone, what the paper's ablations train on, else as captions_gcc_yfcc.py.
_base_ = './captions_gcc_yfcc.py'
train_dataloader = dict(
    dataset=dict(shards='data/gcc12m_shards/gcc-conceptual-12m-{000000..001943}.tar', epoch_size=11156203))
