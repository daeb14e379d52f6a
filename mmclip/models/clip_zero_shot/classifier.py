"""An image classifier of CLIP's image tower and a head over its pooled feature."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from mmclip.clip.loading import clip_preprocess
from mmclip.registry import MODELS
from mmclip.vocabulary.mixin import OpenVocabularyMixin


def clip_data_preprocessor(model: str | dict = 'ViT-B-32', pretrained: str | None = None) -> dict:
    """Config of the normalization of RGB uint8 images that a CLIP was trained with.

    Args:
        model: As :func:`mmclip.clip.loading.clip_config`.
        pretrained: An open_clip tag may have a mean and std of its own.
    """
    settings = clip_preprocess(model, pretrained)
    return dict(
        type='mmengine.ImgDataPreprocessor',
        mean=[255 * value for value in settings['mean']],
        std=[255 * value for value in settings['std']],
    )


@MODELS.register_module()
class CLIPZeroShotClassifier(OpenVocabularyMixin, BaseModel):
    """Names an image: logits = head(pooled feature of the image tower).

    With a :class:`mmclip.TextEmbeddingClassifier` as head: 100 cos(image, name), CLIP's zero-shot
    classifier. With a :class:`mmclip.LinearClassifier`: a linear probe.

    Source: Radford et al. 2021 (arXiv 2103.00020), section 3.1.2 and figure 3; the official
    ImageNet notebook (every prompt normalized, averaged over the templates, normalized again).

    Args:
        backbone: Config of a :class:`mmclip.OpenCLIPBackbone`.
        head: Config of a classifier (N, D) -> (N, K).
        data_preprocessor: None takes the CLIP's own mean and std.

    Shapes:
        inputs (B, 3, S, S) RGB, normalized by the data preprocessor; S may be any size.
    """

    def __init__(
        self, *, backbone: dict, head: dict, data_preprocessor: dict | None = None
    ) -> None:
        if data_preprocessor is None:
            data_preprocessor = clip_data_preprocessor(
                backbone['model'], backbone.get('pretrained')
            )
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.head = MODELS.build(head)
        if self.head.embed_dim != self.backbone.embed_dim:
            raise ValueError(
                f'head: it classifies {self.head.embed_dim} channels, the image tower '
                f'{backbone["model"]!r} has {self.backbone.embed_dim}; give both the same CLIP'
            )

    def fill(self) -> None:
        """Load what neither a checkpoint nor ``init_weights`` brought: image tower, embeddings."""
        for part in (self.backbone, self.head):
            if not getattr(part, 'is_filled', True):
                part.init_weights()

    def extract_feat(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) -> (B, D), raw."""
        return self.backbone.pooled(inputs)

    def forward(
        self,
        inputs: torch.Tensor,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> torch.Tensor | dict[str, torch.Tensor] | list[BaseDataElement]:
        """Logits (B, K) in mode ``'tensor'``, losses in ``'loss'``, samples in ``'predict'``.

        Args:
            inputs: (B, 3, S, S).
            data_samples: B samples, with ``gt_label`` in mode ``'loss'``.
            mode: One of the three.

        Raises:
            ValueError: another mode; ``'loss'`` without samples.
        """
        self.fill()
        if mode == 'tensor':
            return self.head(self.extract_feat(inputs))
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'loss':
            if data_samples is None:
                raise ValueError("data_samples: mode 'loss' needs samples with gt_label")
            return self.loss(inputs, data_samples)
        raise ValueError(f"mode: {mode!r} is none of 'tensor', 'loss', 'predict'")

    def loss(
        self, inputs: torch.Tensor, data_samples: list[BaseDataElement]
    ) -> dict[str, torch.Tensor]:
        """Cross entropy, mean over the batch.

        Shapes:
            inputs (B, 3, S, S); ``gt_label`` of each sample one integer.
        """
        logits = self.head(self.extract_feat(inputs))
        if not data_samples:  # a mean over nothing would be NaN; this keeps the graph
            return dict(loss=logits.sum())
        labels = torch.stack([sample.gt_label.reshape(()) for sample in data_samples])
        return dict(loss=F.cross_entropy(logits, labels.to(logits.device).long()))

    @torch.no_grad()
    def predict(
        self, inputs: torch.Tensor, data_samples: list[BaseDataElement] | None = None
    ) -> list[BaseDataElement]:
        """Samples with ``pred_scores`` (K,), the soft-max of the logits, and ``pred_label``.

        Shapes:
            inputs (B, 3, S, S); B samples.
        """
        scores = self.head(self.extract_feat(inputs)).softmax(-1)
        if data_samples is None:
            data_samples = [BaseDataElement() for _ in range(len(scores))]
        for sample, row in zip(data_samples, scores, strict=True):
            sample.pred_scores = row
            sample.pred_label = row.argmax()
        return data_samples
