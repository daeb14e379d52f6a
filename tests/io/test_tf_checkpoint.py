"""The TensorFlow checkpoint reader against a checkpoint that TensorFlow wrote."""

import io
import random
import shutil
import tarfile

import forked
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmclip.io import tf_checkpoint
from mmclip.io.crc32c import crc32c
from mmclip.io.tf_checkpoint import is_tf_checkpoint, read_tf_checkpoint


@pytest.fixture
def folder(larger_oracles, tmp_path):
    return shutil.copytree(larger_oracles / 'vild' / 'tf_ckpt_detector_vild', tmp_path / 'tf')


@pytest.fixture(scope='module')
def expected(larger_oracles):
    state = load_file(larger_oracles / 'vild' / 'detector_vild.safetensors')
    return {k.removeprefix('state/'): v for k, v in state.items() if k.startswith('state/')}


def test_crc_of_the_standards_and_across_lanes():
    assert crc32c(b'123456789') == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b'') == 0
    data = np.random.default_rng(0).integers(0, 256, 70_001).astype(np.uint8).tobytes()
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    assert crc32c(data) == register ^ 0xFFFFFFFF


@pytest.mark.parametrize('form', ['folder', 'prefix', 'index', 'shard', 'tar'])
def test_reads_every_form_bit_by_bit(folder, expected, form, tmp_path):
    prefix = next(folder.glob('*.index')).with_suffix('')
    path = {
        'folder': folder,
        'prefix': prefix,
        'index': folder / f'{prefix.name}.index',
        'shard': folder / f'{prefix.name}.data-00000-of-00001',
        'tar': tmp_path / 'vild.tar.gz',
    }[form]
    if form == 'tar':
        with tarfile.open(path, 'w:gz') as archive:
            archive.add(folder, 'resnet_vild')
    assert is_tf_checkpoint(path)
    state = read_tf_checkpoint(path)
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_slots_and_step_only_when_asked_for(folder, expected):
    state = read_tf_checkpoint(folder, slots=True)
    assert state['global_step'].item() == 180000
    assert state['global_step'].dtype == torch.int64
    slots = [name for name in state if name.endswith('/Momentum')]
    assert slots and set(state) - set(slots) - {'global_step'} == set(expected)
    for name in slots:
        assert state[name].shape == expected[name.removesuffix('/Momentum')].shape


def test_damage_is_named(folder):
    shard = next(folder.glob('*.data-*'))
    index = next(folder.glob('*.index'))
    whole = shard.read_bytes()
    flipped = bytearray(whole)
    flipped[100] ^= 1
    shard.write_bytes(flipped)
    with pytest.raises(ValueError, match=rf'{shard.name}.*check sum'):
        read_tf_checkpoint(folder)
    assert read_tf_checkpoint(folder, check=False)
    shard.write_bytes(whole[:-5000])
    with pytest.raises(ValueError, match=rf'{shard.name}.*cut off'):
        read_tf_checkpoint(folder)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=shard.name):
        read_tf_checkpoint(folder)
    shard.write_bytes(whole)
    table = bytearray(index.read_bytes())
    for damaged in (table[:-10], table[:30], b'', table[:50] + b'x' + table[51:]):
        index.write_bytes(damaged)
        with pytest.raises(ValueError, match=index.name):
            read_tf_checkpoint(folder)


def test_two_checkpoints_in_a_folder_are_listed(folder):
    index = next(folder.glob('*.index'))
    shutil.copy(index, folder / 'model.ckpt-1.index')
    with pytest.raises(ValueError, match='model.ckpt-1, model.ckpt-180000'):
        read_tf_checkpoint(folder)
    with pytest.raises(FileNotFoundError, match='other'):
        read_tf_checkpoint(folder / 'other')


LIMITED = """
import resource, sys
from mmclip.io.tf_checkpoint import read_tf_checkpoint
used = int(open('/proc/self/statm').read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
resource.setrlimit(resource.RLIMIT_FSIZE, (2**27, 2**27))
for path in sys.argv[1:]:
    try:
        read_tf_checkpoint(path)
    except ValueError as error:
        print(error)
"""


def test_archives_that_unpack_to_much_more_than_their_size_are_refused(tmp_path):
    size = 1 << 33
    sparse = tarfile.TarInfo('m/x.data-00000-of-00001')
    sparse.pax_headers = {
        'GNU.sparse.major': '0',
        'GNU.sparse.minor': '1',
        'GNU.sparse.size': str(size),
        'GNU.sparse.map': f'0,0,{size},0',
        'GNU.sparse.name': 'm/x.data-00000-of-00001',
    }
    with tarfile.open(tmp_path / 'sparse.tar', 'w', format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(sparse)
    with tarfile.open(tmp_path / 'zeros.tar.gz', 'w:gz', compresslevel=1) as archive:
        zeros = tarfile.TarInfo('m/x.data-00000-of-00001')
        zeros.size = 1 << 27
        archive.addfile(zeros, io.BytesIO(bytes(zeros.size)))
    names = [str(tmp_path / name) for name in ('sparse.tar', 'zeros.tar.gz')]
    (tmp_path / 'limited.py').write_text(LIMITED)
    run = forked.run(tmp_path / 'limited.py', *names)
    lines = run.stdout.splitlines()
    assert run.returncode == 0 and len(lines) == 2, run.stderr
    for name, line in zip(names, lines, strict=True):
        assert name in line and 'would unpack to' in line


def test_damaged_archives_and_bundles_are_named(folder, tmp_path):
    path = tmp_path / 'a.tar.gz'
    with tarfile.open(path, 'w:gz') as archive:
        archive.add(next(folder.glob('*.index')), 'a.index')
        archive.add(next(folder.glob('*.data-*')), 'a.data-00000-of-00001')
    index, draw = folder / f'{next(folder.glob("*.index")).name}', random.Random(0)
    for victim, asked in ((path, path), (index, folder)):
        whole = victim.read_bytes()
        for _ in range(30):
            changed = bytearray(whole)
            changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
            victim.write_bytes(changed[: draw.choice((len(whole), len(whole) // 2))])
            try:
                read_tf_checkpoint(asked)
            except (ValueError, FileNotFoundError) as error:
                assert str(tmp_path) in str(error)
        victim.write_bytes(whole)


def test_an_index_may_not_ask_for_the_same_bytes_again_and_again(folder, monkeypatch):
    read_index = tf_checkpoint._read_index

    def doubled(path):
        shards, entries = read_index(path)
        return shards, entries | {f'{name}_again': entry for name, entry in entries.items()}

    monkeypatch.setattr(tf_checkpoint, '_read_index', doubled)
    with pytest.raises(ValueError, match=r'data-00000.*overlaps others'):
        read_tf_checkpoint(folder)
