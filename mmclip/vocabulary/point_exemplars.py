"""Point clouds as entries of a vocabulary: depth maps of their views through the image tower."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from mmclip.io.point_file import POINT_SUFFIXES, check_points, read_points
from mmclip.io.point_pose import check_axis, turn_up, unit_sphere
from mmclip.registry import MODELS

# PointCLIP's zero-shot projection; ``image_size`` is the image tower's.
PROJECTOR = dict(
    type='mmclip.PerspectiveDepthProjector', views='zero_shot6', resolution=128, distance=1.6
)


def is_cloud(item: Any) -> bool:
    """Whether an example is a point cloud: the path of such a file, or an array of floats."""
    if isinstance(item, str | os.PathLike):
        return Path(item).suffix.lower() in POINT_SUFFIXES
    return isinstance(item, np.ndarray) and item.dtype.kind == 'f'


def read_cloud(item: Any, folder: Path, name: str, up: str = 'y') -> np.ndarray:
    """Points of an example with y up, in the unit sphere: float32 (N, 3).

    Args:
        item: Path of a file of :data:`mmclip.io.point_file.POINT_SUFFIXES`, or an array (N, 3).
        folder: Of relative paths.
        name: The class.
        up: Axis that is up in the data, see :func:`mmclip.io.point_pose.turn_up`.

    Raises:
        FileNotFoundError, ValueError: as :func:`mmclip.io.point_file.read_points`; another axis.
    """
    check_axis(up, f'examples: class {name!r}: up')
    if isinstance(item, np.ndarray):
        points = check_points(item, f'examples: the point cloud of class {name!r}')
    else:
        path = folder / str(item)
        points = read_points(path, name=f'examples: the point cloud {path} of class {name!r}')
    return turn_up(unit_sphere(points), up)


def use_projector(encoder: Any, projector: torch.nn.Module) -> None:
    """Let clouds that stand for classes be seen as ``projector`` sees them.

    It does not become a part of the encoder: neither its state nor its device changes.

    Args:
        encoder: A text encoder.
        projector: A module (B, N, 3) -> (B, V, 3, S, S), that of a PointCLIP model.
    """
    object.__setattr__(encoder, 'point_projector', projector)


@torch.no_grad()
def encode_clouds(encoder: Any, clouds: Sequence[np.ndarray]) -> torch.Tensor:
    """Normalized mean over the views of the normalized embeddings of their depth maps.

    Args:
        encoder: Has ``encode_pixels (M, 3, S, S) -> (M, D)`` normalized and ``image_size`` S, as
            :class:`mmclip.CLIPTextEncoder`. Its ``point_projector``, if it has one, is the
            projector, a module (B, N, 3) -> (B, V, 3, S, S) or the config of one; else it is
            :data:`PROJECTOR`.
        clouds: (N, 3) each.

    Shapes:
        (len(clouds), D).

    Raises:
        ValueError: the encoder has no image tower that takes depth maps.
    """
    if not hasattr(encoder, 'encode_pixels'):
        raise ValueError(
            f'examples: {type(encoder).__name__} cannot encode the depth maps of a point cloud; it '
            'takes a model whose text encoder is a mmclip.CLIPTextEncoder'
        )
    projector = getattr(encoder, 'point_projector', None)
    if projector is None:
        projector = dict(PROJECTOR, image_size=encoder.image_size)
    if not isinstance(projector, torch.nn.Module):
        projector = MODELS.build(projector)
    state = next(iter([*projector.buffers(), *projector.parameters()]), torch.empty(0))
    # One after the other: their numbers of points differ.
    rows = []
    for cloud in clouds:
        points = torch.from_numpy(np.ascontiguousarray(cloud)).to(state.device)
        views = projector(points[None])[0]  # (V, 3, S, S)
        rows.append(encoder.encode_pixels(views).mean(0))
    return F.normalize(torch.stack(rows), dim=-1)
