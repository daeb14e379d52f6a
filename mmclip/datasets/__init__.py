from mmclip.datasets.captions import CaptionShards
from mmclip.datasets.classification import CIFAR, ClassificationList, ImageFolder
from mmclip.datasets.fold_segmentation import FoldSegDataset
from mmclip.datasets.lvis import OpenVocabLVISDataset
from mmclip.datasets.segmentation import OpenVocabSegDataset
from mmclip.datasets.shard_sampler import ShardSampler

__all__ = [
    'CIFAR',
    'ClassificationList',
    'ImageFolder',
    'CaptionShards',
    'FoldSegDataset',
    'OpenVocabLVISDataset',
    'OpenVocabSegDataset',
    'ShardSampler',
]
