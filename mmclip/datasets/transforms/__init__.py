from mmclip.datasets.transforms.clip_image import CLIPResizeCrop, LoadPicture, PackCLIPInputs
from mmclip.datasets.transforms.proposals import ProposalsFromGT
from mmclip.datasets.transforms.random_crop import CLIPRandomCrop

__all__ = ['CLIPRandomCrop', 'CLIPResizeCrop', 'LoadPicture', 'PackCLIPInputs', 'ProposalsFromGT']
