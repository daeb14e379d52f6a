"""The TensorFlow checkpoint reader against a checkpoint that TensorFlow wrote."""

import shutil
import tarfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmclip.models.vild.crc32c import crc32c
from mmclip.models.vild.tf_checkpoint import is_tf_checkpoint, read_tf_checkpoint


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
