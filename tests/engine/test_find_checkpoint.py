"""A checkpoint counts as whole when every reader gets the same weights out of it."""

import os
import shutil
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from mmclip.engine import find_checkpoint
from mmclip.io.checkpoint import read_state_dict

STATE = {'a': torch.arange(6.0), 'b': torch.ones(3).half()}
TRAINING = {'state_dict': STATE, 'meta': {'iter': 1, 'epoch': 0}, 'message_hub': {}}


def same(read):
    return list(read) == list(STATE) and all(torch.equal(read[k], v) for k, v in STATE.items())


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp('whole') / 'whole.pth'
    torch.save(STATE, path)
    return path


def header_positions(path):
    """The bytes that are no content: of one storage's own header, its row, and the end."""
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo('whole/data/1')
        own = range(info.header_offset, info.header_offset + 34)
        row = data.index(b'whole/data/1', archive.start_dir) - 46
        return [*own, *range(row, row + 50), *range(len(data) - 98, len(data))]


def test_a_flipped_bit_is_named_or_does_no_harm(whole, tmp_path):
    data, bad = whole.read_bytes(), tmp_path / 'bad.pth'
    found = 0
    for position in header_positions(whole):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            bad.write_bytes(flipped)
            wrong = find_checkpoint.damage(bad)
            if wrong is None:
                assert same(torch.load(bad)) and same(read_state_dict(bad)), (position, bit)
            else:
                assert wrong.startswith('bad.pth: '), (position, bit)
                found += 1
    assert found > 800


@pytest.mark.parametrize('field', ['folder', 'encrypted', 'length of the last name'])
def test_what_only_one_reader_believes_is_damage(whole, tmp_path, field):
    data = bytearray(whole.read_bytes())
    name = b'whole/data/1' if field != 'length of the last name' else b'whole/.data/ser'
    row = data.rindex(name) - 46
    position, bit = {'folder': (38, 4), 'encrypted': (8, 0)}.get(field, (28, 5))
    data[row + position] ^= 1 << bit
    (tmp_path / 'a.pth').write_bytes(data)
    assert find_checkpoint.damage(tmp_path / 'a.pth').startswith('a.pth: ')
    with pytest.raises(ValueError, match=r'a\.pth'):
        read_state_dict(tmp_path / 'a.pth')


def test_a_second_entry_of_a_name_is_damage(whole, tmp_path):
    path = shutil.copy(whole, tmp_path / 'a.pth')
    with pytest.warns(UserWarning), zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('whole/data/1', bytes(6))
    assert 'two entries are called' in find_checkpoint.damage(path)


def test_content_is_compared_with_its_check_sum(whole, tmp_path):
    data = bytearray(whole.read_bytes())
    data[data.index(STATE['a'].numpy().tobytes()) + 7] ^= 1
    (tmp_path / 'a.pth').write_bytes(data)
    assert (
        find_checkpoint.damage(tmp_path / 'a.pth')
        == 'a.pth: the check sum of whole/data/0 is wrong'
    )
    with pytest.raises(ValueError, match=r'a\.pth is cut off, damaged .*CRC'):
        read_state_dict(tmp_path / 'a.pth')


def test_the_older_format_is_whole_and_cut_off_it_is_not(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save(TRAINING, path, _use_new_zipfile_serialization=False)
    find_checkpoint.check(path)
    data = path.read_bytes()
    for length in (0, 5, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r'old\.pth is damaged \(old\.pth: '):
            find_checkpoint.check(path)


def test_weights_alone_are_whole(tmp_path):
    torch.save({'state_dict': STATE}, tmp_path / 'w.pth')
    save_file(STATE, tmp_path / 'w.safetensors')
    for name in ('w.pth', 'w.safetensors'):
        find_checkpoint.check(tmp_path / name)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'a.pth')
    assert 'not a file' in find_checkpoint.damage(tmp_path / 'a.pth')


def test_a_folder_is_as_whole_as_its_files(tmp_path, whole):
    folder = tmp_path / 'iter_1.pth'
    folder.mkdir()
    assert find_checkpoint.damage(folder) == 'the folder is empty'
    shutil.copy(whole, folder / 'rank_0.pth')
    (folder / 'notes.txt').write_text('x')
    assert find_checkpoint.damage(folder) is None
    (folder / 'rank_1.pth').write_bytes(whole.read_bytes()[:-9])
    assert find_checkpoint.damage(folder).startswith('rank_1.pth: ')
