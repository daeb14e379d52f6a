"""GroupViT as a zero-shot image classifier: the pooled feature instead of the groups'."""

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from mmclip.registry import MODELS
from mmclip.vocabulary.mixin import OpenVocabularyMixin


@MODELS.register_module()
class GroupViTClassifier(OpenVocabularyMixin, BaseModel):
    """Names whole images with the weights of a :class:`mmclip.GroupViTSegmentor`.

    logits = cos(pooled feature, word), times the learned scale.

    Args:
        backbone: Config of a :class:`mmclip.GroupViTBackbone`.
        decode_head: Config of a :class:`mmclip.GroupViTHead`.
        data_preprocessor: Normalization; ImageNet's mean and std.
        train_cfg, test_cfg: Nothing; a segmentor's config has them.

    Shapes:
        inputs (B, 3, H, W), RGB.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        decode_head: dict,
        data_preprocessor: dict,
        train_cfg: None = None,
        test_cfg: None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.decode_head = MODELS.build(decode_head)

    def forward(
        self,
        inputs: torch.Tensor,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> torch.Tensor | list[BaseDataElement]:
        """Logits (B, K), or samples with ``pred_scores`` (K,) and ``pred_label`` in ``'predict'``.

        Raises:
            ValueError: another mode; training is the segmentor's.
        """
        if mode not in ('tensor', 'predict'):
            raise ValueError(
                f"mode: {mode!r}; allowed are 'tensor' and 'predict' (the segmentor is trained)"
            )
        head = self.decode_head
        words = head.embeddings()
        pooled = head.project(self.backbone(inputs).pooled[:, None], words)[:, 0]
        logits = head.scale() * pooled @ words.T
        if mode == 'tensor':
            return logits
        samples = data_samples or [BaseDataElement() for _ in range(len(logits))]
        for sample, row in zip(samples, logits.softmax(1), strict=True):
            sample.pred_scores, sample.pred_label = row, row.argmax()
        return samples
