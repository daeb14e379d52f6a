from mmclip.apis.inferencer import OpenVocabInferencer

__all__ = ['OpenVocabInferencer']
