"""The mini CLIP that ships: small, names what nobody taught it, and is exported by one command."""

import json
import runpy
import sys
from pathlib import Path

import forked
import pytest
import torch

from mmclip.clip.loading import ASSETS, build_clip
from mmclip.datasets.mini_world.make import make
from mmclip.io.checkpoint import read_state_dict, write_state_dict

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'make_mini_clip.py'


@pytest.fixture(scope='module')
def world(tmp_path_factory) -> Path:
    """Images that the mini CLIP was not trained on, 384 in each list."""
    out = tmp_path_factory.mktemp('world')
    parts = ('detection', 'classification')
    make(out, parts=parts, scale=0.1, processes=1, report=lambda line: None)
    return out


def run(*arguments):
    return forked.run(TOOL, *arguments)


def test_shipped_weights_are_small_and_in_half_precision():
    assert (ASSETS / 'mini_clip.safetensors').stat().st_size <= 10e6
    state = read_state_dict(ASSETS / 'mini_clip.safetensors')
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float16}
    assert all(v.isfinite().all() for v in state.values())


def test_shipped_report_says_what_was_promised_and_how_it_was_trained():
    report = json.loads((ASSETS / 'mini_clip_report.json').read_text())
    assert report['test']['sentence']['unseen'] >= 75
    assert report['test']['sentence']['novel'] >= 85
    assert report['trained']['seed'] == 0


@pytest.mark.slow
def test_shipped_weights_name_novel_and_unseen_things_by_words_and_by_images(world, tmp_path):
    weights = tmp_path / 'mini_clip.safetensors'
    weights.write_bytes((ASSETS / 'mini_clip.safetensors').read_bytes())
    result = run('--out', weights, '--world', world)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / 'mini_clip_report.json').read_text())
    for split in ('val', 'test'):
        words = report[split]['sentence']
        assert words['base'] >= 80 and words['novel'] >= 85 and words['unseen'] >= 70
        images = report[split]['one example image']
        assert images['base'] >= 65 and images['novel'] >= 70
        assert report[split]['single words']['color'] >= 80


@pytest.mark.slow
def test_exports_a_checkpoint_and_untrained_weights_are_at_chance(world, tmp_path):
    torch.manual_seed(0)
    clip = build_clip('mini_clip')
    state = {f'clip.{name}': value for name, value in clip.state_dict().items()}
    write_state_dict({**state, 'other': torch.ones(1)}, tmp_path / 'iter_1.pth')
    out = tmp_path / 'new.safetensors'
    result = run(tmp_path / 'iter_1.pth', '--out', out, '--world', world)
    assert result.returncode == 0, result.stderr
    exported = read_state_dict(out)
    assert exported.keys() == clip.state_dict().keys()
    name = 'visual.trunk.layer4.1.conv2.weight'
    torch.testing.assert_close(
        exported[name].float(), clip.state_dict()[name], rtol=1e-3, atol=1e-5
    )
    report = json.loads((tmp_path / 'new_report.json').read_text())
    assert all(value < 10 for value in report['test']['sentence'].values())


@pytest.mark.slow
def test_shipped_weights_are_overwritten_only_by_an_explicit_flag(world, tmp_path, monkeypatch):
    """On a copy of the package's folder: the tool's own place for shipped weights points there."""
    tool = runpy.run_path(str(TOOL))
    state = {f'clip.{name}': value for name, value in build_clip('mini_clip').state_dict().items()}
    write_state_dict(state, tmp_path / 'iter_1.pth')
    shipped = tmp_path / 'assets' / 'mini_clip.safetensors'
    shipped.parent.mkdir()
    shipped.write_bytes((ASSETS / shipped.name).read_bytes())
    before = shipped.read_bytes()
    monkeypatch.chdir(tmp_path)
    main = tool['main']
    monkeypatch.setitem(main.__globals__, 'SHIPPED', shipped)
    monkeypatch.setitem(main.__globals__, 'measure', lambda weights, world: {})

    def call(*arguments) -> None:
        monkeypatch.setattr(sys, 'argv', ['tool', *map(str, arguments), '--world', str(world)])
        main()

    call('iter_1.pth')
    made = tmp_path / 'work_dirs' / 'mini_clip'
    assert {file.name for file in made.iterdir()} == {
        'mini_clip.safetensors',
        'mini_clip_report.json',
    }
    call()  # measures the shipped weights
    with pytest.raises(SystemExit):
        call('iter_1.pth', '--out', 'assets/../assets/mini_clip.safetensors')
    assert shipped.read_bytes() == before
    assert [file.name for file in shipped.parent.iterdir()] == [shipped.name]
    call('iter_1.pth', '--overwrite-shipped')
    assert shipped.read_bytes() == (made / 'mini_clip.safetensors').read_bytes() != before
    assert 'work_dirs/mini_clip' in ' '.join(run('--help').stdout.split())


@pytest.mark.slow
def test_bad_input_is_told_without_a_traceback(world, tmp_path):
    write_state_dict({'backbone.weight': torch.ones(1)}, tmp_path / 'other.pth')
    result = run(tmp_path / 'other.pth', '--out', tmp_path / 'x.safetensors', '--world', world)
    assert result.returncode != 0 and 'holds no CLIP' in result.stderr
    assert 'Traceback' not in result.stderr
    result = run('--world', tmp_path)
    assert result.returncode == 2 and 'make_mini_world' in result.stderr
    result = run('--world', world, '--out', tmp_path / 'nothing.safetensors')
    assert result.returncode == 2 and 'nothing.safetensors does not exist' in result.stderr
