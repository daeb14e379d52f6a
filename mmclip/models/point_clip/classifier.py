"""PointCLIP: names point clouds by CLIP's view of their depth maps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from mmclip.models.point_clip.clouds import Clouds
from mmclip.models.point_clip.pretrained_part import load_part
from mmclip.models.point_clip.samples import labels_of, predicted
from mmclip.registry import MODELS
from mmclip.vocabulary.mixin import OpenVocabularyMixin
from mmclip.vocabulary.point_exemplars import use_projector

FUSIONS = ('cosine', 'softmax')


def _spoken(name: str) -> str:
    return name.replace('_', ' ')


@MODELS.register_module()
class PointCLIPClassifier(OpenVocabularyMixin, BaseModel):
    """Depth maps of V views, CLIP's frozen image tower, and cosine similarity to the names.

    fuse='cosine':   logits = sum_v w_v <f_v, t> / (temperature sqrt(V))
    fuse='softmax':  logits = log(sum_v w_v softmax(<f_v / |f_v|, t> / temperature) / sum_v w_v)

    Without an adapter every f_v is L2-normalized; with one the V C numbers are normalized together.
    An ``ensemble`` adds ``logit_ratio`` times the logits of a classical network.

    Source: Zhang et al. 2021 (arXiv 2112.02413), sections 3.1 to 3.4. The factor 1 / sqrt(V) is the
    official code's (text features are repeated for all views and normalized then). In the official
    code weights of views exist in its search only, here they are a setting. ``'softmax'`` is ours.

    Args:
        projector: Config of a projector: clouds -> images, e.g.
            ``dict(type='mmclip.PerspectiveDepthProjector', views='zero_shot6')``.
        backbone: Config of a :class:`mmclip.OpenCLIPBackbone`.
        head: Config of a :class:`mmclip.TextEmbeddingClassifier` without background, of the same
            CLIP. Underscores in names are spoken as spaces.
        adapter: Config of a :class:`mmclip.InterViewAdapter`; V and C are known and left out.
        loss: Config of a loss (B, K), (B,) -> (); None: ``mmclip.SmoothCELoss``, as officially.
        view_weights: V numbers from 0 on, not all 0; None: 1 for each view.
        fuse: ``'cosine'`` or ``'softmax'``.
        ensemble: ``dict(model=..., pretrained=...)``: the config of a model whose mode ``'tensor'``
            gives logits (B, K) of clouds, and its checkpoint file (None: random weights, or those
            of this model's checkpoint). It is frozen.
        logit_ratio: Of the ensemble's logits.
        store_view_scores: Whether predictions carry ``view_scores`` (V, K): what the view weights
            weigh, so ``view_weights @ view_scores`` ranks the classes.
        view_chunk: Images that are encoded at a time.
        data_preprocessor: None: :class:`mmclip.PointDataPreprocessor`.

    Shapes:
        inputs (B, N, 3) or B tensors (N_i, 3).

    Raises:
        ValueError: a bad argument; parts of different widths.
    """

    def __init__(
        self,
        *,
        projector: dict,
        backbone: dict,
        head: dict,
        adapter: dict | None = None,
        loss: dict | None = None,
        view_weights: Sequence[float] | None = None,
        fuse: str = 'cosine',
        ensemble: dict | None = None,
        logit_ratio: float = 1.0,
        store_view_scores: bool = False,
        view_chunk: int = 128,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or dict(type='mmclip.PointDataPreprocessor'))
        if fuse not in FUSIONS:
            raise ValueError(f'fuse: {fuse!r} is none of {FUSIONS}')
        if view_chunk < 1:
            raise ValueError(f'view_chunk: {view_chunk}; allowed are 1 and more')
        self.projector = MODELS.build(projector)
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        self.num_views, width = self.projector.num_views, self.backbone.embed_dim
        if self.head.embed_dim != width:
            raise ValueError(
                f'head: it classifies {self.head.embed_dim} channels, the image tower '
                f'{backbone["model"]!r} has {width}; give both the same CLIP'
            )
        if getattr(self.head, 'background_mode', None) is not None:
            raise ValueError('head: clouds have no background; give it background=None')
        if getattr(self.head, 'text_encoder', None) is not None:
            use_projector(self.head.text_encoder, self.projector)  # for clouds as examples
        sizes = dict(num_views=self.num_views, embed_dim=width)
        self.adapter = MODELS.build({**adapter, **sizes}) if adapter else None
        self.loss_module = MODELS.build(loss or dict(type='mmclip.SmoothCELoss'))
        self.register_buffer('view_weights', torch.ones(self.num_views), persistent=False)
        if view_weights is not None:
            self.set_view_weights(view_weights)
        self.fuse = fuse
        self._build_ensemble(ensemble)
        self.logit_ratio = logit_ratio
        self.store_view_scores = store_view_scores
        self.view_chunk = view_chunk

    def _build_ensemble(self, ensemble: dict | None) -> None:
        if ensemble and not (set(ensemble) <= {'model', 'pretrained'} and 'model' in ensemble):
            raise ValueError(
                f'ensemble: got {sorted(ensemble)}; expected dict(model=dict(type=...), '
                "pretrained='checkpoint.pth')"
            )
        self.ensemble = None
        self.ensemble_pretrained = (ensemble or {}).get('pretrained')
        if ensemble:
            self.ensemble = MODELS.build(ensemble['model']).requires_grad_(False).eval()

    # -- settings ---------------------------------------------------------------------------------

    @property
    def vocabulary_parts(self) -> list[OpenVocabularyMixin]:
        """The head; an ensemble knows the classes that it was trained for."""
        return [self.head]

    def update_vocabulary(self, names: tuple[str, ...], prompts: Any, examples: Any) -> None:
        """``flower_pot`` is spoken 'flower pot', as in the official code."""
        if isinstance(examples, Mapping):
            examples = {_spoken(name): entry for name, entry in examples.items()}
        super().update_vocabulary(tuple(map(_spoken, names)), prompts, examples)

    def set_view_weights(self, weights: Sequence[float]) -> None:
        """Weigh the views.

        Raises:
            ValueError: not V finite numbers from 0 on, or all 0.
        """
        values = [float(weight) for weight in weights]
        good = len(values) == self.num_views and all(map(math.isfinite, values))
        if not good or min(values) < 0 or max(values) == 0:
            raise ValueError(
                f'view_weights: {values}; expected {self.num_views} numbers from 0 on, not all 0'
            )
        self.view_weights.copy_(torch.tensor(values))

    def train(self, mode: bool = True) -> 'PointCLIPClassifier':
        """As any module's; the partner of an ensemble stays in eval mode."""
        super().train(mode)
        if self.ensemble is not None:
            self.ensemble.eval()
        return self

    def init_weights(self) -> None:
        """Fill all parts that a checkpoint has not filled."""
        super().init_weights()
        self.fill()

    def fill(self) -> None:
        """Load what neither a checkpoint nor ``init_weights`` brought.

        The image tower, the embeddings, the adapter and the ensemble.
        """
        for part in (self.backbone, self.head, self.adapter):
            if not getattr(part, 'is_filled', True):
                part.init_weights()
        if self.ensemble_pretrained is not None:
            load_part(self.ensemble, self.ensemble_pretrained, name='ensemble.pretrained')
            self.ensemble_pretrained = None

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        if any(name.startswith(f'{prefix}ensemble.') for name in state_dict):
            self.ensemble_pretrained = None
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    # -- features and scores ----------------------------------------------------------------------

    def extract_feat(self, inputs: Clouds) -> torch.Tensor:
        """(B, N, 3) or B tensors (N_i, 3) -> (B, V, C), raw; ``view_chunk`` images at a time."""
        step = max(1, self.view_chunk // self.num_views)
        features = []
        for start in range(0, len(inputs), step):
            maps = self.projector.depth_maps(inputs[start : start + step])
            for part in maps.flatten(0, 1).split(self.view_chunk):
                features.append(self.backbone.pooled(self.projector.images(part)))
        if not features:
            return self.view_weights.new_zeros(0, self.num_views, self.backbone.embed_dim)
        return torch.cat(features).unflatten(0, (-1, self.num_views))

    def view_features(self, inputs: Clouds) -> torch.Tensor:
        """Adapted and normalized features: (B, N, 3) or B tensors (N_i, 3) -> (B, V, C)."""
        features = self.extract_feat(inputs)
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if self.adapter is None:
                return F.normalize(features, dim=-1)
            adapted = self.adapter(features)
            return F.normalize(adapted.flatten(1), dim=1).reshape(adapted.shape)

    def view_scores(self, inputs: Clouds) -> torch.Tensor:
        """What the view weights weigh.

        For ``'cosine'`` each view's share of the logits, for ``'softmax'`` its probabilities.

        Shapes:
            (B, N, 3) or B tensors (N_i, 3) -> (B, V, K) float32.
        """
        features = self.view_features(inputs)
        with torch.autocast(features.device.type, enabled=False):
            if self.fuse == 'softmax':
                return self.head.class_logits(F.normalize(features, dim=-1)).softmax(-1)
            return self.head.class_logits(features) / math.sqrt(self.num_views)

    def fuse_views(self, view_scores: torch.Tensor) -> torch.Tensor:
        """(B, V, K) view scores -> (B, K) logits."""
        weights = self.view_weights.to(view_scores)
        fused = torch.einsum('v,bvk->bk', weights, view_scores)
        if self.fuse == 'cosine':
            return fused
        return (fused / weights.sum()).clamp_min(torch.finfo(fused.dtype).tiny).log()

    def logits(self, inputs: Clouds, view_scores: torch.Tensor | None = None) -> torch.Tensor:
        """(B, K), the ensemble's included; ``view_scores`` if they are known already.

        Raises:
            ValueError: the ensemble knows another number of classes.
        """
        own, other = self.both_logits(inputs, view_scores)
        return own if other is None else own + self.logit_ratio * other

    def both_logits(
        self, inputs: Clouds, view_scores: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """PointCLIP's logits and the ensemble's, (B, K) each; None without one.

        Raises:
            ValueError: the ensemble knows another number of classes.
        """
        if view_scores is None:
            view_scores = self.view_scores(inputs)
        logits = self.fuse_views(view_scores)
        if self.ensemble is None:
            return logits, None
        if not len(logits):
            return logits, logits
        with torch.no_grad():
            other = self.ensemble(inputs, mode='tensor').float()
        if other.shape != logits.shape:
            raise ValueError(
                f'ensemble: it gives logits of {other.shape[1]} classes, here are '
                f'{logits.shape[1]}; train it on the same classes'
            )
        return logits, other

    # -- modes ------------------------------------------------------------------------------------

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
            ValueError: another mode; ``'loss'`` without samples or without anything to train.
        """
        self.fill()
        if mode == 'tensor':
            return self.logits(inputs)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        raise ValueError(f"mode: {mode!r} is none of 'tensor', 'loss', 'predict'")

    def loss(
        self, inputs: Clouds, data_samples: list[BaseDataElement] | None
    ) -> dict[str, torch.Tensor]:
        """The loss of the adapter alone: an ensemble is added when it is trained.

        Shapes:
            inputs (B, N, 3) or B tensors (N_i, 3); ``gt_label`` of each sample one integer.
        """
        trained = [p for p in self.parameters() if p.requires_grad]
        if not trained:
            raise ValueError(
                'adapter: without one PointCLIP has nothing to train; give it a config'
            )
        labels = labels_of(data_samples, self.view_weights.device)
        if not len(labels):
            return dict(loss=sum(p.sum() for p in trained) * 0)
        return dict(loss=self.loss_module(self.fuse_views(self.view_scores(inputs)), labels))

    @torch.no_grad()
    def predict(
        self, inputs: Clouds, data_samples: list[BaseDataElement] | None = None
    ) -> list[BaseDataElement]:
        """Samples with ``pred_scores`` (K,), the soft-max of the logits, and ``pred_label``.

        With ``store_view_scores`` also ``view_scores`` (V, K).
        """
        views = self.view_scores(inputs)
        scores = self.logits(inputs, views).softmax(-1)
        return predicted(scores, data_samples, views if self.store_view_scores else None)
