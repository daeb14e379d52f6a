"""The region-word contrastive loss over the images and processes of a batch."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from mmengine.model import BaseModule
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from mmclip.distributed import gather_with_grad, largest_sizes
from mmclip.models.glipv2.region_words import (
    NO_REGION_LABEL,
    PAD_LABEL,
    masked_logits,
    propagated_targets,
    soft_cross_entropy,
)
from mmclip.models.glipv2.regions import Regions, negative_regions, positive_regions
from mmclip.registry import MODELS

SOURCES = ('fpn', 'c4', 'roi')
PADS = ('negative', 'zero')
TEXTS = ('pre_fusion', 'fused')
GATHERS = ('full', 'local', None)


def _fill(rows: torch.Tensor, shape: Sequence[int], value: float = 0) -> torch.Tensor:
    """``rows`` in the corner of a larger tensor."""
    missing = [wanted - size for wanted, size in zip(shape, rows.shape, strict=True)]
    pads = [amount for size in reversed(missing) for amount in (0, size)]
    return F.pad(rows, pads, value=value)


@MODELS.register_module()
class InterImageRegionWordLoss(BaseModule):
    r"""Every region finds its words among all texts of the batch, every word its regions.

    .. math::
        s_{nm} = \frac{\cos(P_r r_n, P_w w_m)}{e^{\tau}}, \quad
        L = \frac{1}{2 N_{pos}} \Big[ \sum_n CE(s_{n \cdot}, T_{n \cdot})
            + \sum_m CE(s_{\cdot m}, T_{\cdot m}) \Big]

    with targets T by :func:`mmclip.models.glipv2.region_words.propagated_targets`, uniform over
    the right answers of a row. With several processes each one takes the rows of its own regions
    against all words and of its own words against all regions.

    Source: GLIPv2, section 3.2, and ``USE_SHALLOW_CONTRASTIVE_LOSS`` of the official code
    (``shallow_contrastive_projection_image/text``, ``shallow_log_scale``), which differs where an
    argument below says so.

    Args:
        region_dim: C of a region: FPN's channels, or the c4 map's.
        word_dim: D of a token.
        hidden: Width in which both meet.
        source: Where regions are read: ``'fpn'`` (locations of the maps before the fusion),
            ``'c4'`` (RoIAlign of the locations' anchors on the backbone's last map but one),
            ``'roi'`` (RoIAlign of the annotated boxes on the FPN maps).
        text: Words before the fusion, as the paper says, or the ``'fused'`` ones of the code.
        propagate: Give labels to regions and words of other images; else all of them are
            negatives.
        max_regions: Regions with a box per image; where there are more, so many are drawn.
        pad: What fills images with fewer regions: random ``'negative'`` locations, or nothing
            (``'zero'``).
        gather: ``'full'`` gathers from all processes with gradients, so that two processes give the
            gradients of one; ``'local'``, the official way, lets gradients flow through a
            process's own features only; None does not gather.
        by_name: Labels are class names, so that 'person' of two datasets is one class; else the
            datasets' numbers, as in the official code.
        compat: The official choice of regions: the first box of each image takes no part, and
            its locations may be drawn as negatives.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: an unknown choice; numbers out of range.
    """

    compares_samples = True  # for mmclip.ContrastiveBatchHook

    def __init__(
        self,
        *,
        region_dim: int,
        word_dim: int,
        hidden: int = 64,
        source: str = 'fpn',
        text: str = 'pre_fusion',
        propagate: bool = True,
        max_regions: int = 100,
        pad: str = 'negative',
        gather: str | None = 'full',
        by_name: bool = True,
        compat: bool = False,
        loss_weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value, allowed in (
            ('source', source, SOURCES),
            ('text', text, TEXTS),
            ('pad', pad, PADS),
            ('gather', gather, GATHERS),
        ):
            if value not in allowed:
                raise ValueError(f'{name}: {value!r}; allowed are {", ".join(map(repr, allowed))}')
        if max_regions < 1 or hidden < 1:
            raise ValueError(f'max_regions: {max_regions}, hidden: {hidden}; both must be positive')
        self.projection_image = nn.Linear(region_dim, hidden)
        self.projection_text = nn.Linear(word_dim, hidden)
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.source, self.text, self.propagate = source, text, propagate
        self.max_regions, self.pad, self.gather = max_regions, pad, gather
        self.by_name, self.compat, self.loss_weight = by_name, compat, loss_weight

    @torch.no_grad()
    def choose(
        self, matched: Sequence[torch.Tensor], pads: Sequence[torch.Tensor] | None = None
    ) -> list[Regions]:
        """Regions of each image.

        Args:
            matched: For each image the number of the box of each location, -1 for none.
            pads: Negative locations instead of drawn ones.

        Shapes:
            B tensors (A,).
        """
        chosen = []
        for numbers in matched:
            places = positive_regions(numbers, limit=self.max_regions, compat=self.compat)
            chosen.append(Regions(places, numbers[places]))
        if self.pad == 'zero' or not chosen:
            return chosen
        if pads is None:
            count = max(len(regions.places) for regions in chosen)
            if self.gather is not None:
                count = largest_sizes([count], matched[0].device)[0]
            pads = [
                negative_regions(
                    numbers,
                    count - len(regions.places),
                    taken=regions.places if self.compat else None,
                )
                for numbers, regions in zip(matched, chosen, strict=True)
            ]
        return [regions.pad(places) for regions, places in zip(chosen, pads, strict=True)]

    @torch.no_grad()
    def choose_boxes(self, counts: Sequence[int], device: torch.device) -> list[Regions]:
        """Annotated boxes as regions (``source='roi'``), at most ``max_regions`` of each image.

        Args:
            counts: Boxes of each image.
            device: Where their numbers are needed.
        """
        chosen = []
        for count in counts:
            places = positive_regions(torch.arange(count, device=device), limit=self.max_regions)
            chosen.append(Regions(places, places))
        return chosen

    def _same_sizes(
        self, regions: Sequence[torch.Tensor], own: Sequence[torch.Tensor], words: tuple
    ) -> tuple[torch.Tensor, ...]:
        """Regions (B, R, C), whether they are there (B, R), their own words (B, R, T), and the
        words with their mask and labels, in the same sizes in all processes."""
        counts = torch.tensor([len(rows) for rows in regions], device=words[0].device)
        features = pad_sequence(list(regions), batch_first=True)
        own = pad_sequence(list(own), batch_first=True)
        sizes = [*features.shape[:2], words[0].shape[1]]
        if self.gather is not None:
            sizes = largest_sizes(sizes, features.device)
        images, most, width = sizes
        there = torch.arange(most, device=counts.device) < counts[:, None]
        texts = [
            _fill(rows, (images, width, *rows.shape[2:]), value)
            for rows, value in zip(words, (0, False, PAD_LABEL), strict=True)
        ]
        return (
            _fill(features, (images, most, features.shape[2])),
            _fill(there, (images, most), False),
            _fill(own, (images, most, width), False),
            *texts,
        )

    def _of_all(self, features: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, D) features and other rows of all processes, in the order of ranks."""
        if self.gather is None:
            return features, *others
        own_grad = self.gather == 'local'
        return tuple(gather_with_grad(rows, own_grad=own_grad)[0] for rows in (features, *others))

    def project(
        self, regions: torch.Tensor, words: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both on the unit sphere of the common space, regions divided by the temperature.

        Shapes:
            (..., C), (..., D) -> (..., hidden), (..., hidden).
        """
        regions = F.normalize(self.projection_image(regions), dim=-1) / self.log_scale.exp()
        return regions, F.normalize(self.projection_text(words), dim=-1)

    def forward(
        self,
        features: Sequence[torch.Tensor],
        chosen: Sequence[Regions],
        maps: Sequence[torch.Tensor],
        labels: Sequence[torch.Tensor],
        words: torch.Tensor,
        word_mask: torch.Tensor,
        word_labels: torch.Tensor,
        avg_factor: float | torch.Tensor = 1.0,
    ) -> torch.Tensor:
        """The loss of a batch.

        Args:
            features: Of the chosen regions of each image.
            chosen: From :meth:`choose`.
            maps: For each image which tokens each of its boxes means.
            labels: Class label of each box, negative for free text.
            words: Features of the tokens.
            word_mask: False for padding.
            word_labels: Class label of each token, negative for none.
            avg_factor: Locations with a box, averaged over processes; at least 1.

        Shapes:
            B tensors (R, C), B regions, B (G, T) bool, B (G,) int64, (B, T, D), (B, T) bool,
            (B, T) int64 -> ().
        """
        with torch.autocast(words.device.type, enabled=False):
            total = self.rows(features, chosen, maps, labels, words, word_mask, word_labels)
            (to_words, word_targets), (to_regions, region_targets) = total
            loss = soft_cross_entropy(to_words, word_targets)
            loss = loss + soft_cross_entropy(to_regions, region_targets)
        return self.loss_weight * loss / 2 / avg_factor

    def rows(
        self,
        features: Sequence[torch.Tensor],
        chosen: Sequence[Regions],
        maps: Sequence[torch.Tensor],
        labels: Sequence[torch.Tensor],
        words: torch.Tensor,
        word_mask: torch.Tensor,
        word_labels: torch.Tensor,
    ) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Logits and targets of this process's regions, and those of its words.

        Args:
            As :meth:`forward`.

        Shapes:
            N = B * R regions and M = B * T words here, W processes ->
            ((N, W * M), (N, W * M) bool), ((M, W * N), (M, W * N) bool).
        """
        own, owners = [], []
        for regions, image_maps, image_labels in zip(chosen, maps, labels, strict=True):
            blank = len(regions.places) - len(regions.matched)
            own.append(F.pad(image_maps[regions.matched].bool(), (0, 0, 0, blank)))
            rows = image_labels[regions.matched]
            owners.append(F.pad(rows, (0, blank), value=NO_REGION_LABEL))
        texts = words.float(), word_mask.bool(), word_labels
        found, there, own, *texts = self._same_sizes(
            [rows.float() for rows in features], own, texts
        )
        words, words_there, word_labels = texts
        owners = pad_sequence(owners, batch_first=True, padding_value=PAD_LABEL)
        owners = _fill(owners, there.shape, PAD_LABEL)
        if not self.propagate:
            owners = torch.full_like(owners, NO_REGION_LABEL)
        # Places of this process's images among all.
        first = 0 if self.gather is None else get_rank() * len(there)
        found, words = self.project(found, words)
        found, words = found.flatten(0, 1), words.flatten(0, 1)
        there, words_there = there.flatten(), words_there.flatten()
        all_found, all_there, all_owners = self._of_all(found, there, owners)
        all_words, all_words_there, all_labels = self._of_all(words, words_there, word_labels)
        of_regions = propagated_targets(owners, all_labels, own, 0, first)
        of_words = propagated_targets(all_owners, word_labels, own, first, 0)
        return (
            (
                masked_logits(found, all_words, there, all_words_there),
                of_regions.flatten(2).flatten(0, 1) & all_words_there & there[:, None],
            ),
            (
                masked_logits(all_found, words, all_there, words_there).T,
                of_words.flatten(2).flatten(0, 1).T & all_there & words_there[:, None],
            ),
        )
