from mmclip.evaluation.lvis_metric import OpenVocabLVISMetric
from mmclip.evaluation.naming_accuracy import NamingAccuracy
from mmclip.evaluation.retrieval_recall import RetrievalRecall
from mmclip.evaluation.top_k_accuracy import TopKAccuracy

__all__ = ['NamingAccuracy', 'OpenVocabLVISMetric', 'RetrievalRecall', 'TopKAccuracy']
