from mmclip.datasets.captions import CaptionShards
from mmclip.datasets.classification import CIFAR, ClassificationList, ImageFolder
from mmclip.datasets.fold_segmentation import FoldSegDataset
from mmclip.datasets.lvis import OpenVocabLVISDataset
from mmclip.datasets.segmentation import OpenVocabSegDataset
from mmclip.datasets.shard_sampler import ShardSampler
from mmclip.datasets.video import VideoList

__all__ = [
    'CIFAR',
    'ClassificationList',
    'ImageFolder',
    'CaptionShards',
    'FoldSegDataset',
    'OpenVocabLVISDataset',
    'OpenVocabSegDataset',
    'ShardSampler',
    'VideoList',
]
