"""Models, grouped by method: the table of contents."""

# Shared parts
from mmclip.models.common.clip_trunk import CLIPTrunk
from mmclip.models.common.text_classifier import TextEmbeddingClassifier
from mmclip.models.common.text_encoders import CLIPTextEncoder

# ViLD
from mmclip.models.vild.bbox_head import ViLDBBoxHead
from mmclip.models.vild.classifier import ProjectedTextClassifier
from mmclip.models.vild.detector import ViLD

__all__ = [
    # Shared parts
    'CLIPTextEncoder',
    'CLIPTrunk',
    'TextEmbeddingClassifier',
    # ViLD
    'ProjectedTextClassifier',
    'ViLD',
    'ViLDBBoxHead',
]
