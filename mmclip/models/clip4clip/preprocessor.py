"""Videos of different numbers of frames to one padded batch."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor

from mmclip.registry import MODELS


@MODELS.register_module()
class VideoTextPreprocessor(BaseDataPreprocessor):
    """Normalizes frames, pads with zeros behind them to the longest video, and says which are real.

    Args:
        mean, std: Of RGB values in 0 to 255.
        non_blocking: As :class:`mmengine.model.BaseDataPreprocessor`.

    Shapes:
        B videos uint8 (T_i, 3, H, W), T_i may be 0 -> dict of ``frames`` (B, T, 3, H, W) float32
        and ``mask`` (B, T) bool.
    """

    def __init__(
        self, *, mean: Sequence[float], std: Sequence[float], non_blocking: bool = False
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        for name, value in (('mean', mean), ('std', std)):
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """``inputs``: a list of B videos; the other fields are moved to the device.

        Raises:
            ValueError: no RGB frames, or frames of several sizes.
        """
        data = self.cast_data(data)
        videos = list(data['inputs'])
        sizes = {tuple(video.shape[1:]) for video in videos if len(video)}
        bad = [tuple(video.shape) for video in videos if video.ndim != 4]
        if bad or len(sizes) > 1 or any(size[0] != 3 for size in sizes):
            raise ValueError(
                f'inputs: frames of {sorted(sizes) or bad}; expected (T, 3, H, W) of one size: end '
                'the pipeline with mmclip.FrameResizeCrop and mmclip.PackTextVideo'
            )
        size = sizes.pop() if sizes else (3, 1, 1)
        lengths = torch.tensor([len(video) for video in videos], device=self.mean.device)
        count = max([len(video) for video in videos], default=0)
        frames = self.mean.new_zeros(len(videos), count, *size)
        for row, video in zip(frames, videos, strict=True):
            if len(video):
                row[: len(video)] = (video - self.mean) / self.std
        mask = torch.arange(count, device=lengths.device) < lengths[:, None]
        return {**data, 'inputs': dict(frames=frames, mask=mask)}
