from mmclip.datasets.captions import CaptionShards
from mmclip.datasets.classification import CIFAR, ClassificationList, ImageFolder
from mmclip.datasets.fold_segmentation import FoldSegDataset
from mmclip.datasets.grounding_shards import GroundingShards
from mmclip.datasets.lvis import OpenVocabLVISDataset
from mmclip.datasets.odvg import ODVGDataset
from mmclip.datasets.points import ModelNetFolder, PointCloudList
from mmclip.datasets.points_h5 import ModelNetH5, ScanObjectNN
from mmclip.datasets.segmentation import OpenVocabSegDataset
from mmclip.datasets.shard_sampler import ShardSampler
from mmclip.datasets.text_video_sets import (
    LSMDC,
    MSRVTT,
    MSVD,
    ActivityNetCaptions,
    DiDeMo,
    HowTo100M,
    VideoCaptions,
)
from mmclip.datasets.video import VideoClassificationDataset

__all__ = [
    'ActivityNetCaptions',
    'CIFAR',
    'ClassificationList',
    'ImageFolder',
    'CaptionShards',
    'DiDeMo',
    'FoldSegDataset',
    'GroundingShards',
    'HowTo100M',
    'LSMDC',
    'MSRVTT',
    'MSVD',
    'ModelNetFolder',
    'ModelNetH5',
    'ODVGDataset',
    'OpenVocabLVISDataset',
    'OpenVocabSegDataset',
    'PointCloudList',
    'ScanObjectNN',
    'ShardSampler',
    'VideoCaptions',
    'VideoClassificationDataset',
]
