"""The store of region embeddings: round trip, random access, and what is said about bad stores."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save_file

from mmclip.stores.regions import (
    Regions,
    RegionStore,
    shard_path,
    write_index,
    write_meta,
    write_shard,
)
from mmclip.stores.sharded import fingerprint, write_atomic

DIM = 8
META = dict(
    teacher=dict(model='mini_clip', image_hash='aa', text_hash='bb'), shards=2, embed_dim=DIM
)


def regions(count: int, seed: int) -> Regions:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(count, DIM, generator=generator)
    boxes = torch.rand(count, 4, generator=generator) * 100
    return Regions(boxes, torch.rand(count, generator=generator), embeddings.half())


IMAGES = [{7: regions(3, 0), 2: regions(0, 1)}, {40: regions(5, 2), 5: regions(1, 3)}]


def make(folder: Path, numbers=(0, 1)) -> Path:
    meta = write_meta(folder, META)
    for number in numbers:
        write_shard(shard_path(folder, number, 2), IMAGES[number], meta['fingerprint'])
        write_index(folder, meta)
    return folder


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / 'store')


def test_reads_what_was_written_in_any_order_and_after_pickling(folder):
    store = RegionStore(folder)
    assert store.image_ids.tolist() == [2, 5, 7, 40] and len(store) == 4
    assert 40 in store and 41 not in store and 6 not in store
    for _ in range(2):
        for images in reversed(IMAGES):
            for image_id, expected in images.items():
                found = store.load(image_id)
                assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        store = pickle.loads(pickle.dumps(store))


def test_the_bytes_do_not_depend_on_the_order_of_work(folder, tmp_path):
    other = make(tmp_path / 'other', (1, 0))
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(path.name for path in other.iterdir())
    assert all((folder / name).read_bytes() == (other / name).read_bytes() for name in files)


def test_an_unfinished_store_says_how_to_go_on(tmp_path):
    with pytest.raises(FileNotFoundError, match='no region store.*precompute_regions'):
        RegionStore(tmp_path)
    with pytest.raises(FileNotFoundError, match='1 of 2 shards.*run the same'):
        RegionStore(make(tmp_path / 'half', (1,)))


def test_images_that_are_missing(folder):
    store = RegionStore(folder)
    with pytest.raises(ValueError, match='image id 41 is not in the region store'):
        store.load(41)
    store.check_images([2, 7])  # images of the store that nobody asks for do no harm
    with pytest.raises(ValueError, match=r'2 of 3 images.*\[8, 9\]'):
        store.check_images([8, 9, 40])


def test_another_teacher_and_another_recipe(folder):
    store = RegionStore(folder)
    store.check_teacher(model='mini_clip', text_hash='bb')
    with pytest.raises(ValueError, match="another teacher: model is 'mini_clip', not 'ViT-B-32'"):
        store.check_teacher(model='ViT-B-32')
    with pytest.raises(ValueError, match='text_hash'):
        store.check_teacher(text_hash='cc')
    other = {**META, 'teacher': {**META['teacher'], 'image_hash': 'zz'}}
    with pytest.raises(ValueError, match="teacher.image_hash is 'aa', not 'zz'"):
        write_meta(folder, other)


def test_damage_is_named(folder):
    path = shard_path(folder, 1, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(ValueError, match=f'{path.name} is damaged: .*delete it and run'):
        RegionStore(folder).load(40)
    flipped = bytearray(whole)
    state = load(whole)
    at = whole.find(state['embeddings'].numpy().tobytes())
    flipped[at + 5] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=f'{path.name} is damaged at image id 40'):
        RegionStore(folder).load(40)
    path.write_bytes(whole[:20] + b'!' + whole[21:])
    with pytest.raises(ValueError, match=f'{path.name} is damaged'):
        RegionStore(folder).load(40)
    path.unlink()
    with pytest.raises(FileNotFoundError, match='1 of 2 shards are missing'):
        RegionStore(folder)


def test_a_shard_of_another_store_is_refused(folder):
    path = shard_path(folder, 0, 2)
    save_file(load_file(path), path, metadata={'fingerprint': '0123456789abcdef'})
    with pytest.raises(ValueError, match='of another store'):
        RegionStore(folder).load(7)


def test_a_changed_description_is_refused(folder):
    path = folder / 'meta.json'
    path.write_text(path.read_text().replace('mini_clip', 'other'))
    with pytest.raises(ValueError, match=r'meta\.json was changed'):
        RegionStore(folder)
    path.write_text('{')
    with pytest.raises(ValueError, match=r'meta\.json is damaged'):
        RegionStore(folder)


def flips(path: Path):
    """The file with one bit changed, at every place in turn."""
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        yield
    path.write_bytes(whole)


@pytest.mark.parametrize('checksum', [True, False])
def test_no_flipped_bit_of_the_index_gives_other_regions(folder, checksum):
    path = folder / 'index.safetensors'
    if not checksum:  # as earlier versions wrote it
        with safe_open(path, 'pt') as file:
            tensors, mark = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
        del tensors['crc']
        save_file(tensors, path, metadata=mark)
        assert len(RegionStore(folder).load(40).boxes) == 5
    errors = 0
    for _ in flips(path):
        try:
            store = RegionStore(folder)
            for images in IMAGES:
                for image_id, expected in images.items():
                    found = store.load(image_id)
                    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        except ValueError as error:
            assert str(folder) in str(error)
            errors += 1
    assert errors > 50


def test_no_flipped_bit_of_a_shard_gives_other_regions(folder):
    for _ in flips(shard_path(folder, 0, 2)):
        try:
            store = RegionStore(folder)
            for image_id, expected in IMAGES[0].items():
                found = store.load(image_id)
                assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        except ValueError as error:
            assert str(folder) in str(error)


@pytest.mark.parametrize(
    'change',
    [
        dict(shards=1e9),
        dict(shards=10**9),
        dict(shards='2'),
        dict(shards=0),
        dict(embed_dim=None),
    ],
)
def test_a_description_of_odd_numbers_is_refused_at_once(folder, change):
    meta = {'format': 1, **META, **change}
    meta['fingerprint'] = fingerprint(meta)
    (folder / 'meta.json').write_text(json.dumps(meta))
    with pytest.raises(ValueError, match=rf'meta\.json is damaged: {next(iter(change))} is'):
        RegionStore(folder)


@pytest.mark.parametrize('text', ['[' * 100000, '[]', '{}', 'null'])
def test_a_damaged_description_is_named(folder, text):
    (folder / 'meta.json').write_text(text)
    with pytest.raises(ValueError, match=r'meta\.json is damaged: .*precompute_regions'):
        RegionStore(folder)


def test_a_file_that_could_not_be_written_is_an_error_and_one_that_another_wrote_is_none(
    tmp_path, monkeypatch
):
    path, write = tmp_path / 'a.bin', Path.write_bytes

    def swept(self, data):  # by a process that found the store complete
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, 'write_bytes', swept)
    with pytest.raises(FileNotFoundError):
        write_atomic(path, b'whole')
    assert not path.exists()
    write(path, b'there')
    write_atomic(path, b'whole')
    monkeypatch.undo()
    assert path.read_bytes() == b'there'
    write_atomic(path, b'whole')
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b'whole']
