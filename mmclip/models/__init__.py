"""Models, grouped by method: the table of contents."""

# Shared parts
from mmclip.models.common.text_classifier import TextEmbeddingClassifier
from mmclip.models.common.text_encoders import CLIPTextEncoder

__all__ = [
    # Shared parts
    'CLIPTextEncoder',
    'TextEmbeddingClassifier',
]
