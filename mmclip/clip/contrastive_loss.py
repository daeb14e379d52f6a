"""The contrastive loss of CLIP, over the pairs of all processes."""

import functools
import logging
import math

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import nn

from mmclip.distributed import gather_with_grad
from mmclip.registry import MODELS

MAX_LOG_SCALE = math.log(100)  # what CLIP's training keeps the logarithm of its scale at or below


@functools.cache
def warn_of_lone_sample() -> None:
    """Say, once, that a contrastive loss has a batch in which there is nothing to compare."""
    print_log(
        'a batch of one sample: its contrastive loss is 0 and teaches nothing; set '
        'train_dataloader.batch_size to 2 or more, and train_dataloader.drop_last=True if only '
        'the last batch of an epoch is too small',
        'current',
        logging.WARNING,
    )


def contrastive_loss(
    image_features: torch.Tensor,
    text_features: torch.Tensor,
    logit_scale: torch.Tensor,
    text_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""Symmetric InfoNCE: each image finds its text among all texts, and the other way round.

    .. math:: L = \tfrac{1}{2} \big[ CE(s I T^\top, diag) + CE(s T I^\top, diag) \big]

    Source: CLIP, section 2.3 and figure 3. With several processes each one computes the rows of its
    own pairs against the features of all; the mean over processes is the loss of the concatenated
    batch, and so are the gradients once they are averaged over processes, as DDP does.

    Args:
        image_features, text_features: L2-normalized; row i of one belongs to row i of the other.
        logit_scale: Multiplies the cosines (the exponential of what CLIP stores).
        text_ids: A number per text; pairs of the same number are no negatives of each other, which
            captions that repeat within a batch need. None: all others are negatives.

    Shapes:
        (N, D), (N, D), (), (N,) -> (). An empty batch gives a zero with a graph (single process
        only).

    Raises:
        ValueError: the shapes differ.
    """
    if image_features.ndim != 2 or image_features.shape != text_features.shape:
        raise ValueError(
            f'image_features {tuple(image_features.shape)} and text_features '
            f'{tuple(text_features.shape)} must have the same shape (N, D)'
        )
    if not len(image_features):
        return (image_features.sum() + text_features.sum()) * logit_scale.sum()
    # Half precision would blur logits of up to 100.
    image_features, text_features = image_features.float(), text_features.float()
    scale = torch.as_tensor(logit_scale).float()
    with torch.autocast(image_features.device.type, enabled=False):
        all_images, start = gather_with_grad(image_features)
        all_texts, _ = gather_with_grad(text_features)
        if len(all_texts) == 1:
            warn_of_lone_sample()
        own = torch.arange(start, start + len(image_features), device=image_features.device)
        texts_logits = scale * image_features @ all_texts.T
        images_logits = scale * text_features @ all_images.T
        if text_ids is not None:
            all_ids, _ = gather_with_grad(text_ids)
            repeated = text_ids[:, None] == all_ids
            repeated = repeated.scatter(1, own[:, None], False)
            texts_logits = texts_logits.masked_fill(repeated, -math.inf)
            images_logits = images_logits.masked_fill(repeated, -math.inf)
        to_texts = F.cross_entropy(texts_logits, own)
        to_images = F.cross_entropy(images_logits, own)
    return (to_texts + to_images) / 2


@MODELS.register_module()
class ContrastiveLoss(nn.Module):
    """:func:`contrastive_loss` as a module.

    Example::

        loss = ContrastiveLoss()(F.normalize(images), F.normalize(texts), log_scale.exp())

    Args:
        loss_weight: Factor of the loss.
    """

    compares_samples = True  # for mmclip.ContrastiveBatchHook

    def __init__(self, *, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        image_features: torch.Tensor,
        text_features: torch.Tensor,
        logit_scale: torch.Tensor,
        text_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(N, D), (N, D), (), (N,) -> (), as :func:`contrastive_loss`."""
        loss = contrastive_loss(image_features, text_features, logit_scale, text_ids)
        return self.loss_weight * loss
