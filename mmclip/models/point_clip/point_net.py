"""A small classical network for point clouds, by itself and as PointCLIP's partner."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn

from mmclip.models.point_clip.clouds import Clouds, flatten_clouds
from mmclip.models.point_clip.samples import labels_of, predicted
from mmclip.registry import MODELS
from mmclip.vocabulary.mixin import OpenVocabularyMixin


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear, batch norm and ReLU from each width to the next."""
    parts: list[nn.Module] = []
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        parts += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(True)]
    return nn.Sequential(*parts)


@MODELS.register_module()
class PointNetClassifier(OpenVocabularyMixin, BaseModel):
    """logits = MLP(max over points of MLP(point)), a PointNet without its transforms.

    Source: Qi et al. 2017 (arXiv 1612.00593), section 4.2, here with few channels. It is trained by
    itself on a fixed list of classes; PointCLIP adds its logits (``ensemble``).

    Args:
        num_classes: K.
        point_widths: Channels of the layers that every point runs through.
        head_widths: Channels of the layers behind the maximum.
        dropout: Probability in front of the last layer.
        loss: Config of a loss (B, K), (B,) -> (); None: cross entropy.
        data_preprocessor: None: :class:`mmclip.PointDataPreprocessor`.
        init_cfg: MMEngine's, e.g. ``dict(type='Pretrained', checkpoint=...)``.

    Shapes:
        (B, N, 3) or B tensors (N_i, 3) -> logits (B, K). The features of a cloud without points
        are 0.

    Raises:
        ValueError: a bad argument.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        point_widths: Sequence[int] = (64, 64, 256),
        head_widths: Sequence[int] = (128,),
        dropout: float = 0.3,
        loss: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            data_preprocessor or dict(type='mmclip.PointDataPreprocessor'), init_cfg=init_cfg
        )
        if num_classes < 1 or not point_widths or min(*point_widths, *head_widths, 1) < 1:
            raise ValueError(
                f'num_classes, point_widths, head_widths: {num_classes}, {point_widths}, '
                f'{head_widths}; all are numbers from 1 on'
            )
        self.num_classes = num_classes
        self.point_layers = _layers((3, *point_widths))
        self.head_layers = _layers((point_widths[-1], *head_widths))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear((point_widths[-1], *head_widths)[-1], num_classes)
        self.loss_module = MODELS.build(loss) if loss else nn.CrossEntropyLoss()

    def update_vocabulary(self, names: tuple[str, ...], prompts: Any, examples: Any) -> None:
        """Take names of the classes that it was built for.

        Raises:
            ValueError: another number of them.
        """
        if len(names) != self.num_classes:
            raise ValueError(
                f'names: {len(names)} of them; this network knows the {self.num_classes} classes '
                'that it is trained for only: set num_classes and train it'
            )
        self.class_names = names

    def extract_feat(self, clouds: Clouds) -> torch.Tensor:
        """(B, N, 3) or B tensors (N_i, 3) -> (B, C), the maximum over points."""
        points, owners, batch = flatten_clouds(clouds)
        features = self.point_layers(points.float())
        if isinstance(clouds, torch.Tensor) and clouds.shape[1]:
            return features.reshape(batch, clouds.shape[1], features.shape[1]).amax(1)
        index = owners[:, None].expand_as(features)
        empty = features.new_zeros(batch, features.shape[1])
        return empty.scatter_reduce(0, index, features, 'amax', include_self=False)

    def logits(self, clouds: Clouds) -> torch.Tensor:
        """(B, N, 3) or B tensors (N_i, 3) -> (B, K)."""
        return self.fc(self.dropout(self.head_layers(self.extract_feat(clouds))))

    def forward(
        self,
        inputs: Clouds,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> torch.Tensor | dict[str, torch.Tensor] | list[BaseDataElement]:
        """Logits (B, K) in mode ``'tensor'``, losses in ``'loss'``, samples in ``'predict'``.

        Args:
            inputs: (B, N, 3) or B tensors (N_i, 3).
            data_samples: B samples, with ``gt_label`` in mode ``'loss'``.
            mode: One of the three.

        Raises:
            ValueError: another mode; ``'loss'`` without samples, or with one cloud.
        """
        if mode == 'tensor':
            return self.logits(inputs)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return predicted(self.logits(inputs).softmax(-1), data_samples)
        raise ValueError(f"mode: {mode!r} is none of 'tensor', 'loss', 'predict'")

    def loss(
        self, inputs: Clouds, data_samples: list[BaseDataElement] | None
    ) -> dict[str, torch.Tensor]:
        """The loss: inputs as in ``forward``, ``gt_label`` of each sample one integer -> ()."""
        labels = labels_of(data_samples, next(self.parameters()).device)
        if not len(labels):
            return dict(loss=sum(p.sum() for p in self.parameters()) * 0)
        if len(labels) == 1 and self.training:
            raise ValueError(
                'inputs: a batch of one cloud: batch norms need two; set '
                'train_dataloader.batch_size to 2 or more, and train_dataloader.drop_last=True '
                'against a rest of one'
            )
        return dict(loss=self.loss_module(self.logits(inputs), labels))
