from mmclip.evaluation.fold_iou import FoldIoU
from mmclip.evaluation.group_iou import GroupIoU
from mmclip.evaluation.lvis_metric import OpenVocabLVISMetric
from mmclip.evaluation.multi_dataset_evaluator import MultiDatasetEvaluator
from mmclip.evaluation.naming_accuracy import NamingAccuracy
from mmclip.evaluation.open_vocab_iou import OpenVocabIoU
from mmclip.evaluation.ov_coco_metric import OVCocoMetric
from mmclip.evaluation.phrase_mask_iou import PhraseMaskIoU
from mmclip.evaluation.phrase_recall import PhraseRecall
from mmclip.evaluation.retrieval_recall import RetrievalRecall
from mmclip.evaluation.top_k_accuracy import TopKAccuracy
from mmclip.evaluation.video_retrieval import VideoRetrieval

__all__ = [
    'FoldIoU',
    'GroupIoU',
    'NamingAccuracy',
    'OVCocoMetric',
    'OpenVocabIoU',
    'OpenVocabLVISMetric',
    'PhraseMaskIoU',
    'PhraseRecall',
    'RetrievalRecall',
    'MultiDatasetEvaluator',
    'TopKAccuracy',
    'VideoRetrieval',
]
