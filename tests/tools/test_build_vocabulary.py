"""tools/build_vocabulary.py: encode, import, merge, inspect, and clear errors."""

import json
import re
import runpy
import sys
from pathlib import Path

import forked
import numpy as np
import pytest
import safetensors.torch
import torch

from mmclip.vocabulary.vocabulary import Vocabulary

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'build_vocabulary.py'


def run(*args, ok=True):
    result = forked.run(TOOL, *args)
    assert (result.returncode == 0) == ok, result.stderr[-2000:]
    return result.stdout if ok else result.stderr


def test_an_array_is_imported_normalized_and_inspected(tmp_path):
    rows = torch.tensor([[3.0, 4.0, 0], [0, 0, 2.0]])
    np.save(tmp_path / 'rows.npy', rows.t().numpy())  # (D, K), as DetPro and others store them
    out = tmp_path / 'v.safetensors'
    run('--names', 'cat, big dog', '--from-array', tmp_path / 'rows.npy', '--out', out)
    vocabulary = Vocabulary.load(out)
    assert vocabulary.names == ('cat', 'big dog')
    torch.testing.assert_close(vocabulary.embeddings, torch.tensor([[0.6, 0.8, 0], [0, 0, 1]]))
    assert '2 names of 3 dimensions: cat, big dog' in run('--inspect', out)


def test_vocabularies_of_one_tower_are_merged(tmp_path):
    for index, names in enumerate((('a', 'b'), ('b', 'c'))):
        rows = torch.eye(3)[[index, index + 1]]
        Vocabulary(names, rows, model='m').save(tmp_path / f'{index}.safetensors')
    paths = [tmp_path / '0.safetensors', tmp_path / '1.safetensors']
    run('--merge', *paths, '--out', tmp_path / 'both.safetensors')
    both = Vocabulary.load(tmp_path / 'both.safetensors')
    assert both.names == ('a', 'b', 'c') and torch.equal(both.embeddings, torch.eye(3))
    Vocabulary(('d',), torch.eye(3)[:1], model='other').save(paths[1])
    assert 'another text tower' in run('--merge', *paths, '--out', tmp_path / 'x', ok=False)
    assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize(
    'args, message',
    [
        ((), '--out'),
        (('--out', 'v'), '--model'),
        (('--out', 'v', '--model', 'ViT-B-32'), '--pretrained'),
        (('--out', 'v', '--names', 'a,a', '--from-array', 'rows.npy'), 'more than once'),
        (('--out', 'v', '--names', 'a,b,c', '--from-array', 'rows.npy'), 'one row for each of 3'),
        (('--out', 'v', '--names', 'a', '--from-array', 'gone.npy'), 'no file'),
        (('--out', 'v', '--names', 'a', '--from-array', 'two.safetensors'), '--key'),
        (('--out', 'v', '--names', 'a', '--model', 'ViT-B-33', '--pretrained', 'x'), 'ViT-B-32'),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(args, message, tmp_path):
    np.save(tmp_path / 'rows.npy', np.eye(2, dtype=np.float32))
    safetensors.torch.save_file(
        {'x': torch.eye(1), 'y': torch.eye(1)}, tmp_path / 'two.safetensors'
    )
    args = [
        str(tmp_path / a) if a.endswith(('.npy', '.safetensors')) or a == 'v' else a for a in args
    ]
    error = run(*args, ok=False)
    assert message in error and 'Traceback' not in error
    assert not (tmp_path / 'v').exists()


@pytest.mark.parametrize(
    ('name', 'data', 'message'),
    [
        ('rows.npy', b'', 'EOF'),
        ('rows.npy', b'\x93NUMPY\x01\x00\x10\x00{{{{{{{{{{{{{{{{', 'rows.npy'),
        ('rows.npy', 'words', 'ValueError|could not|float|dtype'),
        ('rows.npy', 'line', r'no \(K, D\) finite numbers'),
        ('rows.npy', 'nan', r'no \(K, D\) finite numbers'),
        ('names.json', b'[' * 100000, 'names.json: is nested too deeply'),
        ('names.json', b'{"names": "abc"}', 'names: expected a list'),
        ('names.txt', b'\xff', 'names.txt: is no UTF-8'),
    ],
)
def test_damaged_files_are_named(name, data, message, tmp_path, monkeypatch):
    rows = dict(words=np.array([['a']]), line=np.ones(3), nan=np.full((1, 2), np.nan))
    np.save(tmp_path / 'rows.npy', rows.get(data if isinstance(data, str) else '', np.eye(1)))
    if isinstance(data, bytes):
        (tmp_path / name).write_bytes(data)
    names = ['--names', 'a'] if name == 'rows.npy' else ['--names-file', str(tmp_path / name)]
    args = [*names, '--from-array', str(tmp_path / 'rows.npy'), '--out', str(tmp_path / 'v')]
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *args])
    with pytest.raises(SystemExit, match=rf'^error: --(?s:.*){name}') as info:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert re.search(message, str(info.value)) and not (tmp_path / 'v').exists()


def test_real_clip_embeddings_become_a_vocabulary(larger_oracles, tmp_path):
    """Arrays as published with Detic, in CLIP's own text space."""
    data = larger_oracles.parent / 'data' / 'open_vocab'
    array = data / 'clip_vitb32_text_detic.safetensors'
    if not array.is_file():
        pytest.skip(f'{array} is not there')
    out = tmp_path / 'lvis.safetensors'
    run('--vocabulary', 'lvis_v1', '--from-array', array, '--key', 'lvis_v1', '--out', out)
    lvis = Vocabulary.load(out)
    assert (len(lvis), lvis.embed_dim) == (1203, 512)
    run('--vocabulary', 'coco80', '--from-array', array, '--key', 'coco80', '--out', out)
    shared = ['zebra', 'giraffe', 'banana']
    cosine = (Vocabulary.load(out).select(shared).embeddings * lvis.select(shared).embeddings).sum(
        1
    )
    torch.testing.assert_close(cosine, torch.ones(3), atol=1e-3, rtol=0)
    assert json.dumps(lvis.names[:2]) == '["aerosol_can", "air_conditioner"]'
