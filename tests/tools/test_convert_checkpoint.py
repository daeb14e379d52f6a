"""The converter's command: complete and whole, or an error that lists what is left over."""

import re
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mmclip.cli import convert as convert_checkpoint
from mmclip.clip.loading import build_clip

TINY = dict(
    embed_dim=16,
    vision_cfg=dict(layers=1, width=64, patch_size=8, image_size=16),
    text_cfg=dict(context_length=8, vocab_size=40, width=64, heads=1, layers=2),
)


@pytest.fixture
def official(tmp_path) -> tuple[str, dict]:
    """A file in OpenAI's layout, in half precision."""
    torch.manual_seed(0)
    state = build_clip(TINY).half().state_dict()
    extra = dict(input_resolution=16, context_length=8, vocab_size=40)
    path = tmp_path / 'official.pt'
    torch.save(state | {k: torch.tensor(v) for k, v in extra.items()}, path)
    return str(path), state


def test_openai(official, tmp_path, capsys):
    path, state = official
    out = tmp_path / 'deep' / 'out.safetensors'
    assert convert_checkpoint.main(['clip_zero_shot', path, str(out)]) == 0
    assert capsys.readouterr().out.startswith(f'{len(state)} tensors')
    written = safetensors.torch.load_file(out)
    assert written.keys() == state.keys()
    assert all(torch.equal(written[k], state[k].float()) for k in state)


def test_part_of_it_under_another_name(official, tmp_path):
    path, state = official
    out = tmp_path / 'out.pth'
    prefix = 'visual.=backbone.visual.'
    assert convert_checkpoint.main(['clip_zero_shot', path, str(out), '--prefix', prefix]) == 0
    written = torch.load(out, weights_only=True)['state_dict']
    assert written.keys() == {f'backbone.{k}' for k in state if k.startswith('visual.')}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.update({'visual.adapter.weight': torch.zeros(1)}), 'visual.adapter.weight'),
        (lambda s: s.pop('visual.proj'), r'1 keys of the CLIP are missing \(visual.proj\)'),
        (lambda s: s.update({'ln_final.bias': torch.zeros(3)}), 'ln_final.bias'),
        (lambda s: s.pop('text_projection'), 'text_projection missing'),
    ],
)
def test_leftovers_are_listed_and_nothing_is_written(official, tmp_path, capsys, change, message):
    path, state = official
    state = dict(state)
    change(state)
    torch.save(state, path)
    out = tmp_path / 'out.pth'
    with pytest.raises((ValueError, OSError), match=message):
        convert_checkpoint.main(['clip_zero_shot', path, str(out)])
    assert [p.name for p in tmp_path.iterdir()] == ['official.pt']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['clip_zeroshot', 'a.pt', 'b.pth'], 'clip_zero_shot'),
        (['clip_zero_shot', 'gone.pt', 'b.pth'], 'gone.pt'),
        (['clip_zero_shot', 'SRC', 'b.bin'], 'b.bin must end in'),
        (['clip_zero_shot', 'SRC', 'b.pth', '--prefix', 'text'], 'OLD=NEW'),
        (['clip_zero_shot', 'SRC', 'b.pth', '--prefix', 'text.=x.'], "starts with 'text.'"),
    ],
)
def test_mistakes(official, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    arguments = [official[0] if a == 'SRC' else a for a in arguments]
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        convert_checkpoint.main(arguments)


def test_a_cut_off_source(official, tmp_path, capsys):
    path, _ = official
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    with pytest.raises((ValueError, OSError), match=re.escape('official.pt')):
        convert_checkpoint.main(['clip_zero_shot', path, str(tmp_path / 'b.pth')])
