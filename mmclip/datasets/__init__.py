from mmclip.datasets.captions import CaptionShards
from mmclip.datasets.lvis import OpenVocabLVISDataset
from mmclip.datasets.shard_sampler import ShardSampler

__all__ = ['CaptionShards', 'OpenVocabLVISDataset', 'ShardSampler']
