"""NumPy's files: what a header or a zip claims is not believed beyond the file's own size."""

import io
import pickle
import zipfile

import forked
import numpy as np
import pytest

from mmclip.io.arrays import SMALL, read_npy, read_npz, unpacked_limit
from mmclip.io.parsing import parsing

LIMITED = """
import resource, sys
from mmclip.io.arrays import read_npy, read_npz
from mmclip.io.parsing import parsing
used = int(open('/proc/self/statm').read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
for path in sys.argv[1:]:
    try:
        with parsing(path):
            (read_npz if path.endswith('npz') else read_npy)(path)
    except ValueError as error:
        print(error)
"""


def header(shape) -> bytes:
    stream = io.BytesIO()
    settings = dict(descr='<f4', fortran_order=False, shape=shape)
    np.lib.format.write_array_header_1_0(stream, settings)
    return stream.getvalue()


def test_right_files_are_read(tmp_path):
    arrays = dict(a=np.arange(6.0).reshape(2, 3), b=np.asfortranarray(np.eye(3)), c=np.zeros(0))
    np.savez(tmp_path / 'plain.npz', **arrays)
    np.savez_compressed(tmp_path / 'small.npz', **arrays)
    np.save(tmp_path / 'a.npy', arrays['b'])
    for name in ('plain.npz', 'small.npz'):
        found = read_npz(tmp_path / name)
        assert found.keys() == arrays.keys()
        assert all(np.array_equal(found[key], arrays[key]) for key in arrays)
    assert np.array_equal(read_npy(tmp_path / 'a.npy'), np.eye(3))


def test_bombs_are_refused_in_little_memory(tmp_path):
    huge = header((1 << 31,))
    (tmp_path / 'claims.npy').write_bytes(huge)
    with zipfile.ZipFile(tmp_path / 'claims.npz', 'w') as archive:
        archive.writestr('a.npy', huge)
    with zipfile.ZipFile(tmp_path / 'zeros.npz', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('a.npy', header((SMALL // 4,)) + bytes(SMALL))
    paths = [tmp_path / name for name in ('claims.npy', 'claims.npz', 'zeros.npz')]
    (tmp_path / 'limited.py').write_text(LIMITED)
    run = forked.run(tmp_path / 'limited.py', *paths)
    lines = run.stdout.splitlines()
    assert run.returncode == 0 and len(lines) == 3, run.stderr
    assert 'claims.npy: is cut off: it claims (2147483648,)' in lines[0]
    assert 'claims.npz: is cut off: it claims (2147483648,)' in lines[1]
    assert 'zeros.npz: would unpack to' in lines[2]
    assert unpacked_limit(paths[0]) == SMALL


@pytest.mark.parametrize('damage', ['empty', 'cut', 'flip', 'pickle', 'object', 'text'])
def test_damage_is_named(tmp_path, damage):
    npz, npy = tmp_path / 'a.npz', tmp_path / 'a.npy'
    np.savez_compressed(npz, a=np.arange(1000.0))
    np.save(npy, np.arange(1000.0))
    for path in (npz, npy):
        raw = bytearray(path.read_bytes())
        raw[8 if path is npy else len(raw) // 2] ^= 0xFF
        if damage == 'object':
            (np.savez if path is npz else np.save)(path, np.array([{}], dtype=object))
        else:
            content = dict(
                empty=b'', cut=raw[:-200], flip=raw, pickle=pickle.dumps([1]), text=b'hello'
            )
            path.write_bytes(content[damage])
        with pytest.raises(ValueError, match=path.name), parsing(path):
            (read_npz if path is npz else read_npy)(path)
