from mmclip.apis.inferencer import OpenVocabInferencer
from mmclip.apis.point_clouds import classify_cloud

__all__ = ['OpenVocabInferencer', 'classify_cloud']
