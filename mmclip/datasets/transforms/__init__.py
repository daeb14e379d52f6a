from mmclip.datasets.transforms.clip_image import CLIPResizeCrop, LoadPicture, PackCLIPInputs
from mmclip.datasets.transforms.proposals import ProposalsFromGT
from mmclip.datasets.transforms.random_crop import CLIPRandomCrop
from mmclip.datasets.transforms.segmentation import (
    LoadSegMap,
    RandomLongSideCrop,
    ShortSideCenterCrop,
    SquareResize,
)
from mmclip.datasets.transforms.teacher_embeddings import (
    LoadTeacherEmbeddings,
    PackTeacherRegions,
)
from mmclip.datasets.transforms.tf_resize import TFResize

__all__ = [
    'CLIPRandomCrop',
    'CLIPResizeCrop',
    'LoadPicture',
    'LoadSegMap',
    'LoadTeacherEmbeddings',
    'PackCLIPInputs',
    'PackTeacherRegions',
    'ProposalsFromGT',
    'RandomLongSideCrop',
    'ShortSideCenterCrop',
    'SquareResize',
    'TFResize',
]
