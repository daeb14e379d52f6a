"""What ActionCLIP and its unimodal baseline share: views, filling, packing of results."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn

from mmclip.clip.layers import QuickGELU
from mmclip.clip.loading import build_clip, clip_preprocess
from mmclip.clip.pretrained import PretrainedMixin
from mmclip.models.action_clip.text_tower import ActionTextTower
from mmclip.models.action_clip.video_tower import VideoTower

Samples = list[BaseDataElement]


def action_data_preprocessor(model: str | dict, pretrained: str | None = None) -> dict:
    """mmaction's preprocessing with a CLIP's mean and std, for RGB uint8 frames (M, 3, H, W)."""
    settings = clip_preprocess(model, pretrained)
    return dict(
        type='mmaction.ActionDataPreprocessor',
        mean=[255 * value for value in settings['mean']],
        std=[255 * value for value in settings['std']],
        format_shape='NCHW',
    )


def labels_of(samples: Samples) -> torch.Tensor:
    """(B,) class numbers, or (B, K) multi-hot, of samples with ``gt_label``.

    Raises:
        ValueError: a sample without one.
    """
    labels = [torch.as_tensor(getattr(sample, 'gt_label', [])) for sample in samples]
    if any(label.numel() == 0 for label in labels):
        raise ValueError("data_samples: mode 'loss' needs a gt_label in each")
    stacked = torch.stack([label.reshape(-1) for label in labels])
    return stacked[:, 0].long() if stacked.shape[1] == 1 else stacked


def load_towers(
    model: str | dict, pretrained: str, video: VideoTower, text: ActionTextTower | None
) -> torch.Tensor:
    """Fill the towers that ask for CLIP's weights; returns CLIP's ``logit_scale``.

    Raises:
        ValueError: weights of another activation than the model's.
    """
    source = build_clip(model, pretrained)
    state = getattr(source, 'text', source).state_dict()
    # A CLIP holds its text tower's weights beside these.
    state = {k: v for k, v in state.items() if k.split('.')[0] not in ('visual', 'logit_scale')}
    for name, part, own, weights in (
        ('image', video, video.visual, source.visual.state_dict()),
        ('text', text, text and text.tower, state),
    ):
        if part is None or part.source != 'clip':
            continue
        theirs = source.visual if name == 'image' else source
        if _quick_gelu(own) != _quick_gelu(theirs):
            raise ValueError(
                f'model: the weights {pretrained} were trained with QuickGELU, {model!r} is built '
                "without; use the name with '-quickgelu' at its end (or quick_gelu=True in a dict)"
            )
        own.load_state_dict(weights)
    return source.logit_scale.detach().reshape(())


def write_sampling(cfg: Any) -> None:
    """Make a config's ``test_pipeline`` complete for a video that comes from no dataset.

    It becomes the pipeline of ``test_dataloader``, with the numbers of segments and views that the
    dataset says there; its results do not change.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    if 'pipeline' not in dataset:
        return
    for step in dataset['pipeline']:
        if str(step['type']).rpartition('.')[2] == 'SampleSegments':
            for name in ('num_segments', 'num_views'):
                if step.get(name) is None and dataset.get(name) is not None:
                    step[name] = dataset[name]
    cfg['test_pipeline'] = dataset['pipeline']


def _quick_gelu(tower: nn.Module) -> bool:
    return any(isinstance(module, QuickGELU) for module in tower.modules())


class VideoRecognizer(PretrainedMixin, BaseModel):
    """What ActionCLIP and its unimodal baseline share: views, frames, filling, packing.

    Args:
        video: The tower.
        model, pretrained: CLIP's architecture and weights.
        data_preprocessor: None takes the CLIP's own mean and std.
    """

    def __init__(
        self,
        *,
        video: VideoTower,
        model: str | dict,
        pretrained: str | None,
        data_preprocessor: dict | None,
    ) -> None:
        super().__init__(data_preprocessor or action_data_preprocessor(model, pretrained))
        self.model = model
        self.pretrained = pretrained
        self.video = video
        self.register_load_state_dict_post_hook(VideoRecognizer._loaded)

    @property
    def cfg(self) -> Any:
        """The config, where MMAction2's ``init_recognizer`` or an inferencer has left it."""
        return self._cfg

    @cfg.setter
    def cfg(self, cfg: Any) -> None:
        # `inference_recognizer` and `ActionRecogInferencer` run its pipeline without a dataset.
        write_sampling(cfg)
        self._cfg = cfg

    @staticmethod
    def _loaded(module: 'VideoRecognizer', incompatible: Any) -> None:
        # A file that lacks a tower (a converted head alone) does not fill it.
        lacking = [k for k in incompatible.missing_keys if '.visual.' in k or k.startswith('text.')]
        module.is_filled = module.is_filled or not lacking

    def split_views(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, V * T, 3, H, W) -> (B, V, T, 3, H, W).

        Raises:
            ValueError: the number of frames is no multiple of T.
        """
        count = self.video.num_frames
        if inputs.ndim != 5 or inputs.shape[1] % count or not inputs.shape[1]:
            raise ValueError(
                f'inputs: {tuple(inputs.shape)}; expected (B, views * {count}, 3, H, W): the '
                "pipeline must sample the model's num_frames (mmclip.SampleSegments) and end with "
                "mmaction.FormatShape(input_format='NCHW')"
            )
        return inputs.unflatten(1, (-1, count))

    def video_features(self, inputs: torch.Tensor) -> torch.Tensor:
        """L2-normalized features (B, V, D) of V views of T frames each.

        Shapes:
            inputs (B, V * T, 3, H, W).

        Raises:
            ValueError: the number of frames is no multiple of T.
        """
        views = self.split_views(inputs)
        features = self.video(views.flatten(0, 1))
        return F.normalize(features.float(), dim=-1).unflatten(0, views.shape[:2])

    def forward(
        self, inputs: torch.Tensor, data_samples: Samples | None = None, mode: str = 'tensor'
    ) -> torch.Tensor | dict[str, torch.Tensor] | Samples:
        """Features (B, V, D), losses, or samples with scores.

        Args:
            inputs: (B, V * T, 3, H, W), normalized by the data preprocessor.
            data_samples: B samples, with ``gt_label`` in mode ``'loss'``.
            mode: ``'tensor'``, ``'loss'`` or ``'predict'``.

        Raises:
            ValueError: another mode; ``'loss'`` without samples.
        """
        if mode not in ('tensor', 'loss', 'predict'):
            raise ValueError(f"mode: {mode!r} is none of 'tensor', 'loss', 'predict'")
        self.init_weights()
        if mode == 'tensor':
            return self.video_features(inputs)
        if mode == 'loss':
            if data_samples is None:
                raise ValueError("data_samples: mode 'loss' needs samples with gt_label")
            return self.loss(inputs, data_samples)
        return self.predict(inputs, data_samples)

    def predict(self, inputs: torch.Tensor, data_samples: Samples | None = None) -> Samples:
        """Samples with ``pred_score`` (K,) and ``pred_label`` (1,), as MMAction2's metrics read.

        ``pred_scores`` is the same under the name that :class:`mmclip.TopKAccuracy` reads.
        """
        scores = self.scores(inputs).detach()
        if data_samples is None:
            data_samples = [BaseDataElement() for _ in scores]
        for sample, score in zip(data_samples, scores, strict=True):
            sample.pred_score = sample.pred_scores = score
            sample.pred_label = score.argmax(0, keepdim=True)
        return data_samples
