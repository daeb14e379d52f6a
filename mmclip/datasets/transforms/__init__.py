from mmclip.datasets.transforms.clip_image import CLIPResizeCrop, LoadPILImage, PackCLIPInputs
from mmclip.datasets.transforms.grounding import (
    CaptionGrounding,
    DetToGrounding,
    PackGroundingInputs,
)
from mmclip.datasets.transforms.mask_answer import MaskAnswerTokens
from mmclip.datasets.transforms.noun_prompts import NounPrompts
from mmclip.datasets.transforms.pack_captions import PackCaptions
from mmclip.datasets.transforms.point_augment import (
    CutPoints,
    JitterPoints,
    RandomRotatePoints,
    RandomScaleShiftPoints,
    ShufflePoints,
)
from mmclip.datasets.transforms.points import (
    AxisUp,
    FirstNPoints,
    LoadPoints,
    PackPointInputs,
    SamplePoints,
    UnitSphereNormalize,
)
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
from mmclip.datasets.transforms.text_video import PackTextVideo, SampleBySecond
from mmclip.datasets.transforms.tf_resize import TFResize
from mmclip.datasets.transforms.timm_augment import TimmAugment, TimmResizeCrop, ToBGR
from mmclip.datasets.transforms.video import (
    DecodeFrames,
    FrameResize,
    FrameResizeCrop,
    OpenVideo,
    SampleSegments,
)
from mmclip.datasets.transforms.video_augment import FrameColor, FrameRandAugment

__all__ = [
    'AxisUp',
    'CutPoints',
    'FirstNPoints',
    'JitterPoints',
    'LoadPoints',
    'PackPointInputs',
    'RandomRotatePoints',
    'RandomScaleShiftPoints',
    'SamplePoints',
    'ShufflePoints',
    'UnitSphereNormalize',
    'CLIPRandomCrop',
    'CLIPResizeCrop',
    'CaptionGrounding',
    'DecodeFrames',
    'DetToGrounding',
    'MaskAnswerTokens',
    'FrameColor',
    'FrameRandAugment',
    'FrameResize',
    'FrameResizeCrop',
    'LoadPILImage',
    'LoadSegMap',
    'LoadTeacherEmbeddings',
    'NounPrompts',
    'OpenVideo',
    'PackCLIPInputs',
    'PackCaptions',
    'PackGroundingInputs',
    'PackTeacherRegions',
    'PackTextVideo',
    'ProposalsFromGT',
    'RandomLongSideCrop',
    'SampleBySecond',
    'SampleSegments',
    'ShortSideCenterCrop',
    'SquareResize',
    'TFResize',
    'TimmAugment',
    'TimmResizeCrop',
    'ToBGR',
]
