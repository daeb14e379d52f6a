"""Part 'points': the twelve shapes extruded, as meshes and clouds in ModelNet's layouts.

    points/{clean,cut,full_turn}/ply_data_{train,val,test}0.h5   data (N, 1024, 3), label (N, 1)
    points/{clean,cut,full_turn}/{train,val,test}_files.txt      names of these files
    points/{clean,cut,full_turn}/shape_names.txt                 the shapes in order of the labels
    points/off/<shape>/{train,val,test}/<shape>_0001.off         meshes, z up, units of their own
    points/txt/<shape>/<shape>_0001.txt                          lines x,y,z,nx,ny,nz, y up
    points/txt/modelnet40_{train,val,test}.txt                   names of these files
    points/txt/modelnet40_shape_names.txt

All objects of a list are 12 shapes in turn. ``clean``, ``off`` and ``txt`` are the same objects,
turned by up to 45 degrees from the front. In ``cut`` a random plane takes a quarter of each away
and the points are less exact; in ``full_turn`` objects look anywhere. The clouds are centered in
the unit sphere with y up.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmclip.datasets.mini_world.extrusion import Extrusion, rotation
from mmclip.datasets.mini_world.world import SHAPES, World

REQUIRES = ('h5py',)
PER_SHAPE = {'train': 40, 'val': 20, 'test': 40}
NUM_POINTS = 1024
CUT_SHARE = 0.25
VARIANTS = ('clean', 'cut', 'full_turn')


def draw_object(shape: str, rng: np.random.Generator, *, full_turn: bool = False) -> Extrusion:
    """An object in a random pose: roll 0.1, pitch 0.15 and yaw 45 (or 180) degrees either way.

    Args:
        shape: One of ``world.SHAPES``.
        rng: Decides thickness (0.15 to 0.6) and pose.
        full_turn: Whether it may look anywhere.
    """
    yaw = np.pi if full_turn else np.pi / 4
    turn = rotation(rng.uniform(-0.1, 0.1), rng.uniform(-0.15, 0.15), rng.uniform(-yaw, yaw))
    return Extrusion(shape, rng.uniform(0.15, 0.6), turn)


def _normalize(points: np.ndarray) -> np.ndarray:
    points = points - points.mean(0)
    return points / np.linalg.norm(points, axis=1).max()


def _jitter(points: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    noise = np.clip(rng.normal(0, strength, points.shape), -3 * strength, 3 * strength)
    return (points + noise).astype(np.float32)


def draw_cloud(item: Extrusion, variant: str, rng: np.random.Generator) -> np.ndarray:
    """A cloud of an object in the unit sphere, its points a little off the surface.

    Args:
        item: The object.
        variant: ``'cut'``: a random plane takes a quarter of its points away.
        rng: Decides points and noise.

    Returns:
        (1024, 3) float32.
    """
    if variant != 'cut':
        return _jitter(_normalize(item.sample(NUM_POINTS, rng)[0]), 0.01, rng)
    points = item.sample(round(NUM_POINTS / (1 - CUT_SHARE)), rng)[0]
    along = points @ rng.normal(size=3)
    kept = np.sort(np.argsort(along)[:NUM_POINTS])  # in their order, which is random
    return _jitter(_normalize(points[kept]), 0.02, rng)


def _off(vertices: np.ndarray, faces: np.ndarray) -> str:
    """The text of an OFF file; z is up, as in ModelNet's."""
    upright = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], 1)
    lines = ['OFF', f'{len(vertices)} {len(faces)} 0']
    lines += ['{:.6f} {:.6f} {:.6f}'.format(*row) for row in upright.tolist()]
    lines += ['3 {} {} {}'.format(*row) for row in faces.tolist()]
    return '\n'.join(lines) + '\n'


def _txt(points: np.ndarray, normals: np.ndarray) -> str:
    values = np.hstack([points, normals])
    return ('%.4f,%.4f,%.4f,%.4f,%.4f,%.4f\n' * len(values)) % tuple(values.ravel().tolist())


def _write_h5(path: Path, clouds: list[np.ndarray], labels: list[int]) -> None:
    import h5py

    with h5py.File(path, 'w') as file:
        file.create_dataset('data', data=np.stack(clouds), track_times=False)
        file.create_dataset('label', data=np.array(labels, np.uint8)[:, None], track_times=False)


def _write_variant(
    out: Path, world: World, variant: str, split: str, tick: Callable[[], None]
) -> None:
    seeds = [world.seed, 121, VARIANTS.index(variant), list(PER_SHAPE).index(split)]
    rng = np.random.default_rng(seeds)
    own_rng = np.random.default_rng([*seeds, 1])  # of the files beside the clean clouds
    number = world.scaled(PER_SHAPE[split])
    first = 1 + sum(
        world.scaled(PER_SHAPE[s]) for s in list(PER_SHAPE)[: list(PER_SHAPE).index(split)]
    )
    clouds, names = [], []
    for index in range(first, first + number):
        for shape in SHAPES:
            item = draw_object(shape, rng, full_turn=variant == 'full_turn')
            clouds.append(draw_cloud(item, variant, rng))
            names.append(f'{shape}_{index:04d}')
            if variant == 'clean':
                _write_object(out, split, names[-1], item, own_rng)
            tick()
    _write_h5(out / variant / f'ply_data_{split}0.h5', clouds, [*range(len(SHAPES))] * number)
    (out / variant / f'{split}_files.txt').write_text(f'ply_data_{split}0.h5\n')
    if variant == 'clean':
        (out / 'txt' / f'modelnet40_{split}.txt').write_text('\n'.join(names) + '\n')


def _write_object(
    out: Path, split: str, name: str, item: Extrusion, rng: np.random.Generator
) -> None:
    shape = item.shape
    vertices, faces = item.mesh()
    units = np.exp(rng.uniform(*np.log((5, 500))))  # nobody agreed on any
    (out / 'off' / shape / split / f'{name}.off').write_text(_off(vertices * units, faces))
    points, normals = item.sample(NUM_POINTS, rng)
    (out / 'txt' / shape / f'{name}.txt').write_text(_txt(_normalize(points), normals))


def count(world: World) -> int:
    """Steps of the progress bar."""
    objects = sum(world.scaled(number) for number in PER_SHAPE.values())
    return len(VARIANTS) * len(SHAPES) * objects


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    """Write the part into the empty folder ``out``; ``tick`` is called once per cloud."""
    for shape in SHAPES:
        (out / 'txt' / shape).mkdir(parents=True)
        for split in PER_SHAPE:
            (out / 'off' / shape / split).mkdir(parents=True)
    shapes = '\n'.join(SHAPES) + '\n'
    (out / 'txt' / 'modelnet40_shape_names.txt').write_text(shapes)
    for variant in VARIANTS:
        (out / variant).mkdir()
        (out / variant / 'shape_names.txt').write_text(shapes)
        for split in PER_SHAPE:
            _write_variant(out, world, variant, split, tick)
