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


@pytest.mark.parametrize('name', ['mini_clip', 'mini_clip_styles'])
def test_shipped_weights_are_small_and_in_half_precision(name):
    assert (ASSETS / f'{name}.safetensors').stat().st_size <= 10e6
    state = read_state_dict(ASSETS / f'{name}.safetensors')
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float16}
    assert all(v.isfinite().all() for v in state.values())


def test_shipped_report_says_what_was_promised_and_how_it_was_trained():
    report = json.loads((ASSETS / 'mini_clip_report.json').read_text())
    assert report['test']['sentence']['unseen'] >= 75
    assert report['test']['sentence']['novel'] >= 85
    assert report['trained']['seed'] == 0


def test_report_of_the_styles_says_what_was_promised():
    report = json.loads((ASSETS / 'mini_clip_styles_report.json').read_text())
    assert report['weights'] == 'mini_clip_styles.safetensors'
    assert report['trained']['config'] == 'clip_zero_shot/mini/clip_contrastive_styles_mini.py'
    for split in ('val', 'test'):
        assert report[split]['sentence']['all'] >= 86
        assert report[split]['lines'] >= 95 and report[split]['silhouette'] >= 95
        distances = report[split]['distances']
        assert distances['right'] >= distances['most frequent band'] + 10
        assert max(distances['windows per band']) <= 2 * min(distances['windows per band'])


def test_shipped_styles_name_drawings_of_another_world(tmp_path):
    """The first mini CLIP hardly does."""
    make(tmp_path, parts=['styles'], seed=3, scale=0.05, processes=1, report=lambda line: None)
    tool = runpy.run_path(str(TOOL))
    found = {
        name: tool['measure_styles'](
            tool['Namer'](ASSETS / f'{name}.safetensors', name), tmp_path / 'styles', 'test'
        )
        for name in ('mini_clip', 'mini_clip_styles')
    }
    ours, first = found['mini_clip_styles'], found['mini_clip']
    assert ours['lines'] >= 85 and ours['silhouette'] >= 85
    assert first['lines'] <= 50 and first['silhouette'] <= 50


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
    monkeypatch.setitem(main.__globals__, 'measure', lambda weights, world, model: {})

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


def test_each_mini_clip_has_its_own_place(world, tmp_path, monkeypatch):
    tool = runpy.run_path(str(TOOL))
    state = {f'clip.{name}': value for name, value in build_clip('mini_clip').state_dict().items()}
    write_state_dict(state, tmp_path / 'iter_1.pth')
    (tmp_path / 'world' / 'classification').mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    main = tool['main']
    monkeypatch.setitem(main.__globals__, 'measure', lambda weights, world, model: {'of': model})

    def call(*arguments) -> None:
        monkeypatch.setattr(sys, 'argv', ['tool', *arguments, '--world', 'world'])
        main()

    with pytest.raises(SystemExit):  # no part styles
        call('iter_1.pth', '--name', 'mini_clip_styles')
    (tmp_path / 'world' / 'styles').mkdir()
    call('iter_1.pth', '--name', 'mini_clip_styles')
    report = json.loads(Path('work_dirs/mini_clip_styles/mini_clip_styles_report.json').read_text())
    assert report['of'] == 'mini_clip_styles'
    assert report['trained']['config'].endswith('clip_contrastive_styles_mini.py')
    assert not Path('work_dirs/mini_clip').exists()
    for name in ('mini_clip', 'mini_clip_styles'):
        with pytest.raises(SystemExit):
            call('iter_1.pth', '--name', name, '--out', str(ASSETS / 'mini_clip.safetensors'))


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
