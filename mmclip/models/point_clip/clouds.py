"""Clouds of equal or different lengths as one flat list of points, and as a batch."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor

from mmclip.registry import MODELS

Clouds = torch.Tensor | Sequence[torch.Tensor]


def check_clouds(clouds: Clouds) -> None:
    """Raise unless these are clouds of points with three coordinates.

    Raises:
        ValueError: something else; the shape and the way out are named.
    """
    if isinstance(clouds, torch.Tensor):
        bad = None if clouds.ndim == 3 and clouds.shape[2] == 3 else clouds
    else:
        bad = next((c for c in clouds if c.ndim != 2 or c.shape[1] != 3), None)
    if bad is not None:
        raise ValueError(
            f'inputs: a cloud of shape {tuple(bad.shape)}; expected (N, 3) each, or (B, N, 3): '
            'end the pipeline with mmclip.PackPointInputs, which keeps x, y and z'
        )


def flatten_clouds(clouds: Clouds) -> tuple[torch.Tensor, torch.Tensor, int]:
    """All points behind each other, with the cloud that each belongs to.

    Args:
        clouds: (B, N, 3), or B tensors (N_i, 3).

    Shapes:
        points (P, 3), owners (P,) int64, B.

    Raises:
        ValueError: as :func:`check_clouds`.
    """
    check_clouds(clouds)
    if isinstance(clouds, torch.Tensor):
        batch, count, _ = clouds.shape
        owners = torch.arange(batch, device=clouds.device).repeat_interleave(count)
        return clouds.reshape(-1, 3), owners, batch
    if not len(clouds):
        return torch.empty(0, 3), torch.empty(0, dtype=torch.int64), 0
    device = clouds[0].device
    lengths = torch.tensor([len(cloud) for cloud in clouds])  # on the CPU, where sizes are known
    owners = torch.repeat_interleave(torch.arange(len(clouds)), lengths)
    return torch.cat(list(clouds)), owners.to(device, non_blocking=True), len(clouds)


@MODELS.register_module()
class PointDataPreprocessor(BaseDataPreprocessor):
    """Moves clouds to the device and stacks them where they have one length.

    Args:
        non_blocking: As :class:`mmengine.model.BaseDataPreprocessor`.

    Shapes:
        B clouds (N_i, 3) -> (B, N, 3) float32 if all N_i are equal, else a list of (N_i, 3).
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """``inputs``: B clouds; the other fields are moved to the device.

        Raises:
            ValueError: as :func:`check_clouds`.
        """
        data = self.cast_data(data)
        clouds = data['inputs']
        check_clouds(clouds)
        if isinstance(clouds, torch.Tensor):
            clouds = clouds.float()
        else:
            clouds = [cloud.float() for cloud in clouds]
            if clouds and len({len(cloud) for cloud in clouds}) == 1:
                clouds = torch.stack(clouds)
        return {**data, 'inputs': clouds}
