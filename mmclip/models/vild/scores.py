"""From what a box head returns to class scores, some classes at a time."""

from collections.abc import Callable, Iterator

import torch

from mmclip.models.vild.detections import Chunks
from mmclip.vocabulary.classifier import TextEmbeddingClassifier

LogitChunks = Callable[[], Iterator[tuple[int, torch.Tensor]]]


def logit_chunks(
    classifier: TextEmbeddingClassifier, normed: torch.Tensor, width: int
) -> LogitChunks:
    """Logits of (N, D) unit-norm embeddings for ``width`` classes at a time."""

    def chunks() -> Iterator[tuple[int, torch.Tensor]]:
        for start in range(0, classifier.num_classes, width):
            yield start, classifier.class_logits(normed, slice(start, start + width))

    return chunks


def log_partition(chunks: LogitChunks, background: torch.Tensor | None = None) -> torch.Tensor:
    """(N, 1) log of the sum of exp over all classes, and the background (N, 1 or 0) if given."""
    parts = [logits.logsumexp(1) for _, logits in chunks()]
    if background is not None:
        parts += background.unbind(1)
    return torch.stack(parts).logsumexp(0)[:, None]


def sigmoid_scores(chunks: LogitChunks) -> Chunks:
    """Each class by itself."""
    return lambda: ((start, logits.sigmoid()) for start, logits in chunks())


def softmax_scores(chunks: LogitChunks, background: torch.Tensor | None = None) -> Chunks:
    """Softmax over all classes, and the background (N, 1 or 0) if given."""
    total = log_partition(chunks, background)
    return lambda: ((start, (logits - total).exp()) for start, logits in chunks())


def ensemble_scores(
    text: LogitChunks,
    image: LogitChunks,
    background: torch.Tensor | None,
    image_share: torch.Tensor,
) -> Chunks:
    """ViLD-ensemble: weighted geometric mean of two softmaxes.

    p = p_text^(1 - s) * p_image^s with s the image's share of each class, where p_text is a softmax
    that knows the background and p_image one that does not.

    Source: ViLD, equation 6 (2/3 for the branch that is favored: the text's for base classes, the
    image's for novel ones).

    Args:
        text, image: Logits of the two branches.
        background: (N, 1) of the text branch; (N, 0) or None for none.
        image_share: (K,) s.
    """
    text_total, image_total = log_partition(text, background), log_partition(image)

    def chunks() -> Iterator[tuple[int, torch.Tensor]]:
        for (start, a), (_, b) in zip(text(), image(), strict=True):
            share = image_share[start : start + a.shape[1]]
            yield start, ((1 - share) * (a - text_total) + share * (b - image_total)).exp()

    return chunks
