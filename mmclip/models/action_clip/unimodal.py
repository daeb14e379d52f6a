"""The baseline that ActionCLIP is compared with: the same video tower, a classifier of K rows."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mmclip.models.action_clip.base import Samples, VideoRecognizer, labels_of, load_towers
from mmclip.models.action_clip.video_tower import VideoTower
from mmclip.registry import MODELS
from mmclip.text.class_names import class_names
from mmclip.vocabulary.mixin import Examples, OpenVocabularyMixin, Prompts


@MODELS.register_module()
class UnimodalActionRecognizer(OpenVocabularyMixin, VideoRecognizer):
    """1-of-K classification of the raw video feature by cross entropy; knows no words.

    Source: the unimodality of ActionCLIP's figure 1 and table 1.

    Args:
        model, pretrained, num_frames, image_tower: As :class:`mmclip.ActionCLIPRecognizer`.
        classes: The K classes, fixed.
        multi_label: Whether a video may have several: binary cross entropy, sigmoid scores.
        kwargs: Prompts and the rest, as
            :class:`mmclip.models.action_clip.video_tower.VideoTower`.
        data_preprocessor: None takes the CLIP's own mean and std.

    Shapes:
        inputs (B, V * T, 3, H, W).
    """

    def __init__(
        self,
        *,
        model: str | dict,
        num_frames: int,
        classes: str | Sequence[str] | int,
        pretrained: str | None = None,
        image_tower: str | dict = 'clip',
        multi_label: bool = False,
        data_preprocessor: dict | None = None,
        **kwargs: Any,
    ) -> None:
        video = VideoTower(model=model, num_frames=num_frames, tower=image_tower, **kwargs)
        super().__init__(
            video=video, model=model, pretrained=pretrained, data_preprocessor=data_preprocessor
        )
        self.class_names = () if isinstance(classes, int) else class_names(classes)
        count = classes if isinstance(classes, int) else len(self.class_names)
        self.multi_label = multi_label
        self.classifier = nn.Linear(video.embed_dim, count)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def load_pretrained(self) -> None:
        """Fill the image tower."""
        if self.pretrained is not None and self.video.source == 'clip':
            load_towers(self.model, self.pretrained, self.video, None)
        self.video.init_weights()

    def update_vocabulary(
        self, names: tuple[str, ...], prompts: Prompts, examples: Examples
    ) -> None:
        """The same number of classes under the names of the dataset.

        Raises:
            ValueError: another number, or other names than before: it has no words for them;
                prompts or examples.
        """
        if prompts is not None or examples is not None:
            raise ValueError('prompts, examples: a unimodal classifier has no words; give neither')
        known = self.class_names or names
        if len(names) != self.classifier.out_features or names != known:
            raise ValueError(
                f'names: a unimodal classifier keeps its {self.classifier.out_features} classes; '
                'mmclip.ActionCLIPRecognizer takes others'
            )
        self.class_names = names

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, V, K) of V views.

        Raises:
            ValueError: the number of frames is no multiple of T.
        """
        views = self.split_views(inputs)
        features = self.video(views.flatten(0, 1))
        return self.classifier(features.float()).unflatten(0, views.shape[:2])

    def loss(self, inputs: torch.Tensor, data_samples: Samples) -> dict[str, torch.Tensor]:
        """Cross entropy of one label, binary cross entropy of several."""
        logits = self.logits(inputs).mean(1)
        if not data_samples:
            return dict(loss_cls=logits.sum())
        labels = labels_of(data_samples).to(logits.device)
        if self.multi_label:
            loss = F.binary_cross_entropy_with_logits(logits, labels.float())
        else:
            loss = F.cross_entropy(logits, labels)
        return dict(loss_cls=loss)

    def scores(self, inputs: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, K), averaged over views."""
        logits = self.logits(inputs)
        return (logits.sigmoid() if self.multi_label else logits.softmax(-1)).mean(1)
