"""PointCLIP's adapters on settings other than the fixtures', answered by plain re-derivations."""

import itertools
import json
import math
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from parity import runner

EXACT = dict(rtol=1e-5, atol=1e-5)


def write(folder: Path, name: str, config: dict, tensors: dict | None = None, **more) -> None:
    files = [f'{name}.json']
    (folder / files[0]).write_text(json.dumps(dict(config=config, **more)))
    if tensors is not None:
        files.append(f'{name}.safetensors')
        tensors = {key: value.contiguous() for key, value in tensors.items()}
        safetensors.torch.save_file(tensors, folder / files[1])
    row = dict(name=name, kind='tensors', files=files, tolerance=EXACT)
    (folder / 'cases.json').write_text(json.dumps([row]))


def verdict(folder: Path, capsys) -> tuple[int, str]:
    return runner.main(['point_clip', '--dir', str(folder)]), capsys.readouterr().out


def search_case(folder: Path, **changes) -> None:
    """Three views, five steps of 0.6, double precision loops."""
    generator = torch.Generator().manual_seed(5)
    views, width, classes, count = 3, 6, 7, 90
    features = torch.randn(count, views, width, generator=generator)
    texts = 3 * torch.randn(classes, width, generator=generator)
    labels = (features.mean(1) @ F.normalize(texts, dim=1).T).argmax(1)
    labels[::3] = (labels[::3] + 1) % classes
    scores = (features @ F.normalize(texts, dim=1).T).double()
    best, weights, improvements = 0.0, None, 0
    for row in itertools.product([0.6 * (i + 1) / 5 for i in range(5)], repeat=views):
        logits = (scores * torch.tensor(row, dtype=torch.float64)[:, None]).sum(1)
        accuracy = 100 * float((logits.argmax(1) == labels).double().mean())
        if accuracy > best:
            best, weights, improvements = accuracy, row, improvements + 1
    before = 100 * float((scores.sum(1).argmax(1) == labels).double().mean())
    config = dict(num_views=views, channel=width, search_time=5, search_range=0.6)
    config = {k: v for k, v in (config | changes).items() if v is not None}
    tensors = {
        'input/features': features.flatten(1),
        'input/labels': labels,
        'input/text_features': texts,
        'input/log_logit_scale': torch.tensor(2.0),
        'output/accuracy_before': torch.tensor(round(before, 2)),
        'output/accuracy_after': torch.tensor(round(best, 2)),
        'output/view_weights': torch.tensor([round(w, 2) for w in weights]),
        'output/num_improvements': torch.tensor(improvements),
    }
    write(folder, 'view_weight_search_other', config, tensors)


def test_search_with_other_steps_and_views(tmp_path, capsys):
    search_case(tmp_path)
    status, out = verdict(tmp_path, capsys)
    assert status == 0, out


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        (dict(search_time=None), "KeyError: 'search_time'"),
        (dict(search_range=None), "KeyError: 'search_range'"),
        (dict(num_views=None), "KeyError: 'num_views'"),
        (dict(search_range=0.5), 'view_weights: error'),
    ],
)
def test_search_takes_its_settings_from_the_sidecar(changes, told, tmp_path, capsys):
    search_case(tmp_path, **changes)
    status, out = verdict(tmp_path, capsys)
    assert status == 1 and told in out, out


def test_another_schedule(tmp_path, capsys):
    epochs, warmup, rate = 40, 3, 0.05
    rates = [2e-4] * warmup
    rates += [rate / 2 * (1 + math.cos(math.pi * e / epochs)) for e in range(epochs - warmup)]
    config = dict(max_epoch=epochs, lr=rate, warmup_epoch=warmup, warmup_cons_lr=2e-4)
    write(tmp_path, 'lr_schedule', config, lr_per_epoch=rates)
    status, out = verdict(tmp_path, capsys)
    assert status == 0, out


def projection_case(folder: Path, **changes) -> None:
    """One point per cloud, so that a map has one pixel whose place is known."""
    size, distance = 32, 2.0
    points = torch.tensor([[[0.0, -0.5, 0.25]], [[0.3, 0.2, -0.5]]])
    turns = torch.zeros(6, 3, 3)
    # Turned by pi / 2 about z, then by 0, 1, 2 and 3 quarters about x, and -+ a quarter about y.
    x, y, z = points[:, 0].unbind(1)
    seen = [(-y, x, z), (-y, -z, x), (-y, -x, -z), (-y, z, -x), (-z, x, -y), (z, x, y)]
    depth = torch.zeros(2, 6, size, size)
    for view, (u, v, w) in enumerate(seen):
        for cloud in range(2):
            far = float(w[cloud]) + distance
            row, column = (math.ceil((float(c[cloud]) / far + 1) * size / 2 - 0.5) for c in (u, v))
            depth[cloud, view, row, column] = far
            basis = torch.eye(3)[:, None]
            bx, by, bz = basis[:, 0].unbind(1)
            columns = [(-by, bx, bz), (-by, -bz, bx), (-by, -bx, -bz), (-by, bz, -bx)]
            columns += [(-bz, bx, -by), (bz, bx, by)]
            turns[view] = torch.stack(columns[view], 1)
    translation = torch.zeros(6, 1, 3)
    translation[..., 2] = -distance
    config = dict(resolution=size, trans=-distance, num_views=6, size_x=1, size_y=1, mode='zs')
    config |= dict(upsampled_views=None)
    tensors = {
        'input/points': points,
        'output/depth': depth.flatten(0, 1),
        'output/rot_mat': turns,
        'output/translation': translation,
    }
    write(folder, 'projection_other', config | changes, tensors)


def test_projection_at_another_distance_and_size(tmp_path, capsys):
    projection_case(tmp_path)
    status, out = verdict(tmp_path, capsys)
    assert status == 0, out


@pytest.mark.parametrize('changes', [dict(trans=-1.5), dict(num_views=10), dict(mode='fs')])
def test_projection_takes_its_settings_from_the_sidecar(changes, tmp_path, capsys):
    projection_case(tmp_path, **changes)
    assert verdict(tmp_path, capsys)[0] == 1
