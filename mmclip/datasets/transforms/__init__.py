from mmclip.datasets.transforms.proposals import ProposalsFromGT

__all__ = ['ProposalsFromGT']
