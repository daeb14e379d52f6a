"""Which words of a batch a region means, and the cross-entropy with several right answers."""

import hashlib
from collections.abc import Sequence

import torch

from mmclip.text.captions import Caption

NO_REGION_LABEL = -10  # of regions in images with free text
NO_WORD_LABEL = -1  # of words that name no class
PAD_LABEL = -100
MASKED = -1e6  # logit of what is not there


def class_key(name: str) -> int:
    """A number for a class name that is the same in every dataset and process (63 bits)."""
    digest = hashlib.blake2b(' '.join(name.lower().split()).encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'big') >> 1


def phrase_keys(text: str, spans: Sequence, labels: Sequence[int], by_name: bool) -> list[int]:
    """Label of each phrase by which regions of other images find it.

    Args:
        text: The caption.
        spans: For each phrase its ranges of characters.
        labels: Class of each phrase in its dataset, -1 for free text.
        by_name: Use the words, so that 'person' of two datasets is one class; else ``labels``,
            as the official code does: right within one dataset only.

    Returns:
        Non-negative numbers, -1 for free text.
    """
    caption = Caption(text, tuple(tuple(map(tuple, pieces)) for pieces in spans))
    return [
        NO_WORD_LABEL
        if label < 0
        else (class_key(caption.phrase(index)) if by_name else int(label))
        for index, label in enumerate(labels)
    ]


def word_keys(maps: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Label of each token: the key of its phrase, of the later one where phrases overlap.

    Shapes:
        maps (P, T), keys (P,) int64 -> (T,) int64, -1 for tokens of no phrase.
    """
    order = torch.arange(1, len(maps) + 1, device=maps.device)[:, None] * (maps > 0)
    later = order.amax(0) if len(maps) else keys.new_zeros(maps.shape[1])
    return torch.cat([keys.new_tensor([NO_WORD_LABEL]), keys])[later]


def propagated_targets(
    region_labels: torch.Tensor,
    word_labels: torch.Tensor,
    own: torch.Tensor,
    first_region: int = 0,
    first_word: int = 0,
) -> torch.Tensor:
    """Which words mean which region, over images.

    Within an image the annotation tells. A region and a word of another image belong together
    if both carry the same class label; those without a label never do.

    Source: GLIPv2, section 3.2 ("label propagation"); ``original_od_label`` and
    ``od_label_of_tokens`` of the official code.

    Args:
        region_labels: Of each region; negative for none.
        word_labels: Of each token; negative for none.
        own: Tokens of each region in its own image's text, for B images that are in both.
        first_region, first_word: Places of the first of those B images among the N and the M.

    Shapes:
        (N, R), (M, T), (B, R, T) bool -> (N, R, M, T) bool.
    """
    same = region_labels[:, :, None, None] == word_labels
    same &= (region_labels >= 0)[:, :, None, None]
    places = torch.arange(len(own), device=own.device)
    same[first_region + places, :, first_word + places] = own
    return same


def soft_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    r"""Summed cross-entropy to the uniform distribution over the right answers of each row.

    .. math:: L = -\sum_n \frac{1}{|T_n|} \sum_{m \in T_n} \log softmax(z_n)_m

    A row without a right answer adds nothing.

    Source: official ``ATSSLossComputation``, which divides such rows by 1e-6.

    Shapes:
        (N, M), (N, M) bool -> ().
    """
    share = targets / targets.sum(1, keepdim=True).clamp(min=1)
    return -(share * logits.log_softmax(1)).sum()


def masked_logits(
    regions: torch.Tensor, words: torch.Tensor, there: torch.Tensor, words_there: torch.Tensor
) -> torch.Tensor:
    """Products of regions and words, -1e6 where either is padding.

    Shapes:
        (N, D), (M, D), (N,) bool, (M,) bool -> (N, M).
    """
    return (regions @ words.T).masked_fill(~(there[:, None] & words_there), MASKED)
