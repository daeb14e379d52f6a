"""PointCLIP's inter-view adapter."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.models.point_clip.pretrained_part import load_part
from mmclip.registry import MODELS


@MODELS.register_module()
class InterViewAdapter(BaseModule):
    """Mixes the features of all views of a cloud and adds what it finds to each.

    global = dropout(relu(norm(fc(flatten(dropout(norm(fusion_ratio f)))))))
    adapted = ratio relu(fc2(relu(fc1(global)))) + (1 - ratio) f

    ``fusion_ratio`` (V,) weighs the views on their way into the global feature only; the residual
    takes the raw features. Normalizing the result, once over all V C numbers, is the classifier's.

    Source: Zhang et al. 2021 (arXiv 2112.02413), section 3.3; official ``Adapter``. The official
    code trains it in half precision, here it is float32 also under autocast.

    Args:
        num_views: V.
        embed_dim: C, CLIP's.
        ratio: Of the adapted features.
        fusion_init: Of every view's ratio.
        dropout: Probability.
        pretrained: Checkpoint file whose keys ``adapter...`` fill it when the model is filled, e.g.
            the released adapter after ``mmclip convert``; None: it is trained, or comes with the
            model's checkpoint.

    Shapes:
        (B, V, C) raw view features -> (B, V, C) float32.

    Raises:
        ValueError: a bad argument; training with a batch of one cloud, in which a batch norm has
            nothing to compare.
    """

    def __init__(
        self,
        *,
        num_views: int,
        embed_dim: int,
        ratio: float = 0.6,
        fusion_init: float = 0.5,
        dropout: float = 0.075,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        self.pretrained = pretrained
        self.is_filled = pretrained is None
        if num_views < 1 or embed_dim < 1:
            raise ValueError(f'num_views, embed_dim: {num_views} and {embed_dim}; both start at 1')
        if not 0 <= ratio <= 1:
            raise ValueError(f'ratio: {ratio}; allowed are 0 to 1')
        self.num_views, self.embed_dim, self.ratio = num_views, embed_dim, ratio
        self.fusion_ratio = nn.Parameter(torch.full((num_views,), float(fusion_init)))
        self.norm_in = nn.BatchNorm1d(embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.global_fc = nn.Linear(num_views * embed_dim, embed_dim)
        self.global_norm = nn.BatchNorm1d(embed_dim)
        self.view_fc1 = nn.Linear(embed_dim, embed_dim)
        self.view_fc2 = nn.Linear(embed_dim, num_views * embed_dim)

    def init_weights(self) -> None:
        """Load ``pretrained`` unless weights were loaded before."""
        if not self.is_filled:
            load_part(self, self.pretrained, prefix='adapter.', name='adapter.pretrained')
            self.is_filled = True

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        self.is_filled |= f'{prefix}fusion_ratio' in state_dict
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, V, C) -> (B, V, C)."""
        if features.shape[1:] != (self.num_views, self.embed_dim):
            raise ValueError(
                f'features: (B, V, C) = {tuple(features.shape)}; the adapter was built for '
                f'V={self.num_views}, C={self.embed_dim}'
            )
        if not len(features):
            return features.float() * self.fusion_ratio[:, None]
        if self.training and len(features) == 1:
            raise ValueError(
                'inputs: a batch of one cloud: the batch norm of the adapter needs two; set '
                'train_dataloader.batch_size to 2 or more, and train_dataloader.drop_last=True '
                'against a rest of one'
            )
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            weighted = features * self.fusion_ratio[:, None]
            # Rows of the first norm are all views of all clouds.
            mixed = self.norm_in(weighted.flatten(0, 1)).reshape(len(features), -1)
            mixed = self.global_norm(self.global_fc(self.dropout(mixed)))
            mixed = self.dropout(F.relu(mixed))
            adapted = F.relu(self.view_fc2(F.relu(self.view_fc1(mixed))))
            adapted = adapted.reshape(features.shape)
            return self.ratio * adapted + (1 - self.ratio) * features
