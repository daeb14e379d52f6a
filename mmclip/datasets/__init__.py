from mmclip.datasets.lvis import OpenVocabLVISDataset

__all__ = ['OpenVocabLVISDataset']
