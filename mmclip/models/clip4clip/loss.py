"""The loss of CLIP4Clip, over the pairs of all processes: exactly, or as the official code does."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from torch import nn

from mmclip.clip.contrastive_loss import contrastive_loss, warn_of_lone_sample
from mmclip.distributed import gather_with_grad, largest_sizes
from mmclip.registry import MODELS

GATHERS = ('exact', 'official')


def symmetric_cross_entropy(logits: torch.Tensor) -> torch.Tensor:
    """Mean over both directions of -log softmax of the diagonal: (N, N) -> ().

    Source: CLIP4Clip, equations 8 to 10; official ``CrossEn``.
    """
    if len(logits) == 1:
        warn_of_lone_sample()
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


@MODELS.register_module()
class VideoTextLoss(nn.Module):
    """Symmetric cross entropy of texts against videos; row i of both belong together.

    With several processes (``gather='exact'``) the loss is that of the joined batch, and so are the
    gradients once averaged, as DDP does. ``'official'``: loose heads compare with the features of
    all processes, but no gradient comes back from the others' losses, so the towers' gradients are
    those of the joined batch divided by the number of processes while the logit scale's is not; the
    tight head compares within a process only.

    Source: CLIP4Clip, section 3.4, official ``CLIP4Clip.forward`` and ``AllGather``.

    Args:
        gather: ``'exact'`` or ``'official'``.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: another ``gather``.
    """

    compares_samples = True  # for mmclip.ContrastiveBatchHook

    def __init__(self, *, gather: str = 'exact', loss_weight: float = 1.0) -> None:
        super().__init__()
        if gather not in GATHERS:
            raise ValueError(f'gather: {gather!r} is none of {GATHERS}')
        self.gather = gather
        self.loss_weight = loss_weight

    def loose(
        self, texts: torch.Tensor, videos: torch.Tensor, logit_scale: torch.Tensor
    ) -> torch.Tensor:
        """Of vectors; zero, with a graph, for an empty batch.

        Args:
            texts, videos: L2-normalized.
            logit_scale: Multiplies the cosines.

        Shapes:
            (N, D), (N, D), () -> ().

        Raises:
            ValueError: the shapes differ.
        """
        if self.gather == 'exact' or get_world_size() == 1:
            return self.loss_weight * contrastive_loss(videos, texts, logit_scale)
        texts, _ = gather_with_grad(texts.float(), own_grad=True)
        videos, _ = gather_with_grad(videos.float(), own_grad=True)
        logits = logit_scale.float() * texts @ videos.T
        return self.loss_weight * symmetric_cross_entropy(logits)

    def tight(
        self,
        score: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
        texts: torch.Tensor,
        frames: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """Of a function of pairs; zero, with a graph, for an empty batch.

        Each process scores its own texts against the videos of all; the rows are then gathered.

        Args:
            score: (A, D), (B, T, D), (B, T) -> (A, B).
            texts: Raw features (N, D).
            frames: Raw features (N, T, D).
            mask: (N, T) bool.
        """
        if not len(texts):
            return texts.sum() + frames.sum() + score(texts, frames, mask).sum()
        if self.gather == 'official' or get_world_size() == 1:
            return self.loss_weight * symmetric_cross_entropy(score(texts, frames, mask))
        (longest,) = largest_sizes([frames.shape[1]], frames.device)
        missing = longest - frames.shape[1]
        frames, _ = gather_with_grad(F.pad(frames, (0, 0, 0, missing)))
        mask, _ = gather_with_grad(F.pad(mask, (0, missing)))
        rows = score(texts, frames, mask)  # (N, W * N)
        logits, start = gather_with_grad(rows)
        own = torch.arange(start, start + len(texts), device=rows.device)
        to_videos = F.cross_entropy(rows, own)
        to_texts = F.cross_entropy(logits[:, start : start + len(texts)].T, own)
        return self.loss_weight * (to_videos + to_texts) / 2
