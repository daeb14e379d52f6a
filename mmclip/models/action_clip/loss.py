"""The contrastive loss of ActionCLIP, in which a row may have several positives."""

import torch
import torch.nn.functional as F
from torch import nn

from mmclip.clip.contrastive_loss import warn_of_lone_sample
from mmclip.distributed import gather_with_grad
from mmclip.registry import MODELS


def positives(video_labels: torch.Tensor, text_labels: torch.Tensor) -> torch.Tensor:
    """Which texts belong to which videos.

    Shapes:
        video_labels (N,) class numbers, or (N, K) multi-hot; text_labels (M,) -> (N, M) float, 1
        where the class of the text is (among) the video's.
    """
    if video_labels.ndim == 1:
        return (video_labels[:, None] == text_labels).float()
    return (video_labels[:, text_labels] > 0).float()


def multi_positive_kl(
    logits: torch.Tensor, positive: torch.Tensor, sharpness: float = 10.0
) -> torch.Tensor:
    r"""Kullback-Leibler divergence from a target that spreads over all positives, mean over rows.

    .. math:: \frac{1}{N} \sum_i KL\big(softmax(\beta g_i)\ \|\ softmax(z_i)\big)

    The target is softmax(10 g), not g / sum(g): each negative keeps e^-10 of a positive's share.
    The entropy of the target, a constant, is part of the value.

    Source: ActionCLIP, equation 4; official ``KLLoss`` and ``gen_label``.

    Args:
        logits: z.
        positive: g, 0 or 1.
        sharpness: beta.

    Shapes:
        (N, M), (N, M) -> ().
    """
    target = (sharpness * positive).log_softmax(1)
    return F.kl_div(logits.log_softmax(1), target, reduction='none', log_target=True).sum(1).mean()


@MODELS.register_module()
class MultiPositiveKLLoss(nn.Module):
    """Both directions of :func:`multi_positive_kl`, over the pairs of all processes.

    loss = (KL of videos to texts + KL of texts to videos) / 2. Each process takes the rows of its
    own videos and texts against those of all; the mean over processes is the loss of the joined
    batch, and so are the gradients once averaged, as DDP does.

    Source: ActionCLIP, section 3.1. The official code runs DataParallel with the loss over the
    whole batch on the first GPU, which is the same.

    Args:
        sharpness: Factor on the 0 or 1 of the target before its softmax; 10 in the official code.
        loss_weight: Factor of the loss.
    """

    compares_samples = True  # for mmclip.ContrastiveBatchHook

    def __init__(self, *, sharpness: float = 10.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not sharpness > 0:
            raise ValueError(f'sharpness: {sharpness}; allowed are positive numbers')
        self.sharpness = sharpness
        self.loss_weight = loss_weight

    def forward(
        self,
        videos: torch.Tensor,
        texts: torch.Tensor,
        logit_scale: torch.Tensor,
        video_labels: torch.Tensor,
        text_labels: torch.Tensor,
    ) -> torch.Tensor:
        """The loss of N videos and their N texts; zero, with a graph, for an empty batch.

        Args:
            videos, texts: L2-normalized features.
            logit_scale: Multiplies the cosines.
            video_labels: (N,) class numbers, or (N, K) multi-hot.
            text_labels: (N,) class of each text.

        Shapes:
            (N, D), (N, D), (), (N,) or (N, K), (N,) -> ().

        Raises:
            ValueError: shapes that do not belong together.
        """
        if videos.shape != texts.shape or videos.ndim != 2:
            raise ValueError(
                f'videos {tuple(videos.shape)} and texts {tuple(texts.shape)} must have the same '
                'shape (N, D)'
            )
        if len(video_labels) != len(videos) or text_labels.shape != videos.shape[:1]:
            raise ValueError(
                f'video_labels {tuple(video_labels.shape)} and text_labels '
                f'{tuple(text_labels.shape)} do not fit {len(videos)} videos'
            )
        if not len(videos):
            return (videos.sum() + texts.sum()) * logit_scale.sum()
        videos, texts = videos.float(), texts.float()
        scale = torch.as_tensor(logit_scale).float()
        with torch.autocast(videos.device.type, enabled=False):
            all_videos, _ = gather_with_grad(videos)
            all_texts, _ = gather_with_grad(texts)
            if len(all_texts) == 1:
                warn_of_lone_sample()
            all_video_labels, _ = gather_with_grad(video_labels)
            all_text_labels, _ = gather_with_grad(text_labels)
            to_texts = multi_positive_kl(
                scale * videos @ all_texts.T,
                positives(video_labels, all_text_labels),
                self.sharpness,
            )
            to_videos = multi_positive_kl(
                scale * texts @ all_videos.T,
                positives(all_video_labels, text_labels).T,
                self.sharpness,
            )
        return self.loss_weight * (to_texts + to_videos) / 2
