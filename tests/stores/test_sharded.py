"""What all stores share: fingerprint, shards that are missing, and what is said about bad ones."""

import zlib

import pytest
import torch

from mmclip.stores.sharded import (
    META,
    checksum,
    differences,
    fingerprint,
    missing_shards,
    open_shard,
    read_meta,
    save_shard,
    shard_path,
    write_meta,
)

WAY_OUT = dict(name='store of sounds', make='make it with tools/sounds.py')


def described(**more):
    meta = dict(shards=2, embed_dim=4, model=dict(name='a', weights='b')) | more
    return meta | dict(fingerprint=fingerprint(meta))


def test_a_fingerprint_is_of_everything_but_itself():
    meta = described()
    assert fingerprint(meta) == meta['fingerprint'] == fingerprint(dict(reversed(meta.items())))
    assert len(meta['fingerprint']) == 16
    assert fingerprint(described(shards=3)) != meta['fingerprint']


def test_differences_are_named_with_both_values():
    other = described(shards=3, model=dict(name='a', weights='c'), more=1)
    found = list(differences(described(), other))
    assert found == [('model.weights', 'b', 'c'), ('more', None, 1), ('shards', 2, 3)]
    assert not list(differences(other, other))


def test_a_checksum_is_of_the_bytes():
    parts = [torch.arange(6.0).reshape(2, 3), torch.tensor([1, 2], dtype=torch.int32)]
    data = b''.join(part.numpy().tobytes() for part in parts)
    assert checksum(parts) == zlib.crc32(data) == checksum(parts[1:], checksum(parts[:1]))
    assert checksum([parts[0].T]) == zlib.crc32(parts[0].T.contiguous().numpy().tobytes())
    assert checksum([torch.empty(0, 4)]) == checksum([]) == 0


def test_descriptions(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no store of sounds in .*make it with tools/sou'):
        read_meta(tmp_path, **WAY_OUT)
    meta = described()
    write_meta(tmp_path / 'new', meta)
    assert read_meta(tmp_path / 'new', **WAY_OUT) == meta
    with pytest.raises(ValueError, match=r"meta\.json is damaged: lacks the entry 'rate'; make it"):
        read_meta(tmp_path / 'new', keys=('rate',), **WAY_OUT)
    write_meta(tmp_path / 'new', meta | dict(embed_dim=5))
    with pytest.raises(ValueError, match=r'meta\.json was changed after the store of sounds was'):
        read_meta(tmp_path / 'new', **WAY_OUT)
    (tmp_path / 'new' / META).write_text('[')
    with pytest.raises(ValueError, match=r'meta\.json is damaged: is no json .*sounds.py again'):
        read_meta(tmp_path / 'new', **WAY_OUT)


def test_shards(tmp_path):
    meta, tensors = described(), dict(values=torch.eye(2))
    assert missing_shards(tmp_path, meta) == [0, 1]
    path = shard_path(tmp_path, 1, 2)
    assert path.name == 'shard-00001-of-00002.safetensors'
    size = save_shard(path, tensors, meta['fingerprint'])
    assert size == path.stat().st_size and missing_shards(tmp_path, meta) == [0]
    where = (meta['fingerprint'], 'the shard', 'make it again')
    assert torch.equal(open_shard(path, *where, size=size).get_tensor('values'), torch.eye(2))
    with pytest.raises(FileNotFoundError, match='00000-of-00002.* is missing; make it again'):
        open_shard(shard_path(tmp_path, 0, 2), *where)
    with pytest.raises(ValueError, match=f'the shard: {size} bytes, not 5; make it again'):
        open_shard(path, *where, size=5)
    with pytest.raises(ValueError, match='is of another store .*not ffff'):
        open_shard(path, 'ffff', *where[1:])
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match='^the shard: .*; make it again$'):
        open_shard(path, *where)
