"""Directions from which a cloud is projected: sets of Euler angles by name."""

import math
from collections.abc import Sequence

import torch

_AROUND = ((0.0, 0.0, 0.5), (0.5, 0.0, 0.5), (1.0, 0.0, 0.5), (1.5, 0.0, 0.5))
_VERTICAL = ((0.0, -0.5, 0.5), (0.0, 0.5, 0.5))
_TILTED = ((1.25, -0.25, 0.5), (1.25, 0.25, 0.5), (1.75, -0.25, 0.5), (1.75, 0.25, 0.5))
_FAR_TILTED = ((0.25, -0.25, 0.5), (0.25, 0.25, 0.5))
_OBLIQUE = ((0.25, 0.0, 0.5), (0.75, 0.0, 0.5), (1.25, 0.0, 0.5), (1.75, 0.0, 0.5))

# Angles about x, y and z in units of pi. The released code knows 'zero_shot6', 'few_shot10' and
# 'realistic10' only; the paper's other numbers of views are ours: its first views, and for 12 two
# tilted ones more.
VIEW_SETS: dict[str, tuple[tuple[float, float, float], ...]] = {
    'views1': _AROUND[:1],
    'views4': _AROUND,
    'zero_shot6': _AROUND + _VERTICAL,
    'views8': _AROUND + _TILTED,
    'few_shot10': _AROUND + _TILTED + _VERTICAL,
    'views12': _AROUND + _TILTED + _FAR_TILTED + _VERTICAL,
    'realistic10': _OBLIQUE + _AROUND + _VERTICAL,
}

# The second rotation of PointCLIP V2, which shows more of the surface.
REALISTIC_TILTS = ((0.0, 1 / 9, 0.0),) * 8 + ((0.0, 1 / 15, 0.0),) * 2


def view_angles(
    views: str | Sequence[Sequence[float]], name: str = 'views'
) -> tuple[tuple[float, float, float], ...]:
    """Euler angles of a view set.

    Args:
        views: A key of ``VIEW_SETS``, or V triples of angles about x, y and z in units of pi.
        name: The argument's name, for the message.

    Raises:
        ValueError: an unknown set, no view, or no triples of finite numbers.
    """
    if isinstance(views, str):
        if views not in VIEW_SETS:
            raise ValueError(
                f'{name}: unknown view set {views!r}; there are {", ".join(VIEW_SETS)}, or give '
                'triples of angles about x, y and z in units of pi'
            )
        return VIEW_SETS[views]
    try:
        angles = tuple(tuple(float(angle) for angle in view) for view in views)
    except (TypeError, ValueError):
        angles = ()
    good = angles and all(len(view) == 3 and all(map(math.isfinite, view)) for view in angles)
    if not good:
        raise ValueError(
            f'{name}: expected a set ({", ".join(VIEW_SETS)}) or triples of finite angles in units '
            f'of pi, got {views!r:.80}'
        )
    return angles


def rotation_matrices(angles: Sequence[Sequence[float]]) -> torch.Tensor:
    """R = Rx Ry Rz of V triples of angles in units of pi.

    Shapes:
        returns: (V, 3, 3), float32; a point p (a column) is turned to R p.
    """
    radians = (torch.tensor(angles, dtype=torch.float64) * math.pi).float()
    cosines, sines = radians.cos().unbind(1), radians.sin().unbind(1)
    zero, one = torch.zeros(len(radians)), torch.ones(len(radians))

    def about(axis: int) -> torch.Tensor:
        c, s = cosines[axis], sines[axis]
        rows = {
            0: (one, zero, zero, zero, c, -s, zero, s, c),
            1: (c, zero, s, zero, one, zero, -s, zero, c),
            2: (c, -s, zero, s, c, zero, zero, zero, one),
        }[axis]
        return torch.stack(rows, dim=1).reshape(-1, 3, 3)

    return about(0) @ about(1) @ about(2)
