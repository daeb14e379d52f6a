"""Point cloud files: every format gives the same points, and what is wrong names the file."""

import struct
import sys

import numpy as np
import pytest

from mmclip.io.mesh_file import sample_surface
from mmclip.io.pcd_file import lzf_decompress
from mmclip.io.point_file import POINT_SUFFIXES, read_points
from mmclip.io.point_text import read_table

POINTS = np.array([[0, 0, 0], [1, 0, 0.5], [-2, 3, 1], [4, 0.25, -1]], np.float32)
SQUARE = '4 2 0\n0 0 0\n2 0 0\n2 2 0\n0 2 0\n3 0 1 2\n3 0 2 3\n'


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(separator=' ', more=()):
    return ''.join(separator.join(map(str, [*row, *more])) + '\n' for row in POINTS.tolist())


def ply(kind, *, colors=False, normals=False, count=4):
    properties = ['float x', 'float y', 'float z']
    fields = [('x', 'f4'), ('y', 'f4'), ('z', 'f4')]
    if normals:
        properties = ['double nx', *properties]
        fields = [('nx', 'f8'), *fields]
    if colors:
        properties += ['uchar red']
        fields += [('red', 'u1')]
    head = f'ply\nformat {kind} 1.0\ncomment x\nelement vertex {count}\n'
    head += ''.join(f'property {p}\n' for p in properties) + 'end_header\n'
    if kind == 'ascii':
        lines = [[0.5] * normals + row + [200] * colors for row in POINTS.tolist()]
        return (head + ''.join(' '.join(map(str, line)) + '\n' for line in lines)).encode()
    order = '<' if 'little' in kind else '>'
    table = np.zeros(4, [(name, order + kind) for name, kind in fields])
    for column, axis in enumerate('xyz'):
        table[axis] = POINTS[:, column]
    return head.encode() + table.tobytes()


def pcd(layout, count=4):
    head = '# .PCD v0.7\nVERSION 0.7\nFIELDS rgb x y z _\nSIZE 4 4 4 4 1\nTYPE U F F F U\n'
    head += f'COUNT 1 1 1 1 4\nWIDTH {count}\nHEIGHT 1\nPOINTS {count}\nDATA {layout}\n'
    if layout == 'ascii':
        return (head + ''.join(f'7 {a} {b} {c} 0 0 0 0\n' for a, b, c in POINTS.tolist())).encode()
    if layout == 'binary':
        table = np.zeros(4, [('r', 'u4'), ('p', 'f4', 3), ('_', 'u1', 4)])
        table['p'] = POINTS
        return head.encode() + table.tobytes()
    plain = bytes(16) + POINTS.T.tobytes() + bytes(16)
    packed = b''.join(
        bytes([len(part) - 1]) + part for part in (plain[i : i + 32] for i in range(0, 80, 32))
    )
    return head.encode() + struct.pack('<2I', len(packed), len(plain)) + packed


def npz(folder):
    np.savez(folder / 'own.npz', points=POINTS, labels=np.arange(4))
    return (folder / 'own.npz').read_bytes()


FILES = {
    'a.ply': ply('ascii'),
    'b.ply': ply('ascii', colors=True, normals=True),
    'c.ply': ply('binary_little_endian', colors=True),
    'd.ply': ply('binary_big_endian', normals=True),
    'a.pcd': pcd('ascii'),
    'b.pcd': pcd('binary'),
    'c.pcd': pcd('binary_compressed'),
    'a.xyz': rows(),
    'b.xyz': '# a comment\n\n' + rows('\t', (255,)),
    'a.txt': rows(',', (0, 0, 1)),
    'b.TXT': 'x, y, z\n' + rows(', '),
    'a.pts': '4\n' + rows(),
    'a.off': 'OFF\n4 0 0\n' + rows(),
    'a.obj': 'mtllib other.mtl\n' + ''.join(f'v {row}\n' for row in rows().splitlines()),
}


@pytest.mark.parametrize('name', FILES)
def test_every_format_gives_the_same_points(tmp_path, name):
    points = read_points(write(tmp_path, name, FILES[name]))
    assert points.dtype == np.float32 and points.flags.c_contiguous
    np.testing.assert_array_equal(points, POINTS)


def test_numpy_files(tmp_path):
    np.save(tmp_path / 'a.npy', np.c_[POINTS, np.ones((4, 3))])
    np.testing.assert_array_equal(read_points(tmp_path / 'a.npy'), POINTS)
    np.testing.assert_array_equal(read_points(write(tmp_path, 'a.npz', npz(tmp_path))), POINTS)
    np.savez(tmp_path / 'b.npz', cloud=POINTS)
    with pytest.raises(ValueError, match="b.npz.*cloud.*none named 'points'"):
        read_points(tmp_path / 'b.npz')


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / 'a.npy', np.array([POINTS, None], object), allow_pickle=True)
    with pytest.raises(ValueError, match='a.npy'):
        read_points(tmp_path / 'a.npy')


# Meshes.


def test_a_mesh_is_sampled_by_area_with_a_seed(tmp_path):
    path = write(tmp_path, 'a.off', 'OFF\n' + SQUARE)
    points = read_points(path, 4000)
    assert points.shape == (4000, 3) and (points[:, 2] == 0).all()
    assert points.min() >= 0 and points.max() <= 2
    # A quarter of the square has a quarter of the points: five standard deviations are 0.034.
    assert abs((points[:, :2] < 1).all(1).mean() - 0.25) < 0.034
    np.testing.assert_array_equal(points, read_points(path, 4000))
    assert not np.array_equal(points, read_points(path, 4000, seed=1))
    assert read_points(path).shape == (10_000, 3)


def test_area_and_not_the_number_of_triangles_counts():
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [10, 0, 0], [13, 0, 0], [10, 3, 0]])
    points = sample_surface(corners * 1.0, np.array([[0, 1, 2], [3, 4, 5]]), 2000)
    assert abs((points[:, 0] < 5).mean() - 0.1) < 0.034
    with pytest.raises(ValueError, match='area is 0'):
        sample_surface(corners * 0.0, np.array([[0, 1, 2]]), 3)


def test_modelnets_faulty_first_line(tmp_path):
    good = read_points(write(tmp_path, 'a.off', 'OFF\n' + SQUARE), 20)
    np.testing.assert_array_equal(good, read_points(write(tmp_path, 'b.off', 'OFF' + SQUARE), 20))


MESH_PLY = (
    'ply\nformat ascii 1.0\ncomment TextureFile a.png\nelement vertex 3\nproperty float x\n'
    'property float y\nproperty float z\nelement face 1\n'
    'property list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n'
)
FACETS = 'facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\n'


@pytest.mark.parametrize(
    'name, content',
    [
        ('a.ply', MESH_PLY),
        ('a.obj', 'mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl b\nf 1 2 3\n'),
        ('a.stl', f'solid a\n{FACETS}endfacet\nendsolid a\n'),
    ],
)
def test_other_meshes(tmp_path, name, content):
    points = read_points(write(tmp_path, name, content), 30)
    assert points.shape == (30, 3) and (points[:, 2] == 0).all()
    assert points.min() >= 0 and points[:, :2].sum(1).max() <= 1 + 1e-6


def test_no_other_file_is_opened(tmp_path):
    for name, content in (
        ('a.ply', MESH_PLY),
        ('a.obj', 'mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl b\nf 1 2 3\n'),
    ):
        write(tmp_path, name, content)
    write(tmp_path, 'a.mtl', 'newmtl b\nmap_Kd a.png\n')
    write(tmp_path, 'a.png', b'x')
    read_points(tmp_path / 'a.obj', 3), read_points(tmp_path / 'a.ply', 3)  # trimesh's own imports
    opened, active = [], [True]
    sys.addaudithook(
        lambda event, args: event == 'open' and active[0] and opened.append(str(args[0]))
    )
    read_points(tmp_path / 'a.obj', 3)
    read_points(tmp_path / 'a.ply', 3)
    active[0] = False
    assert {path for path in opened if str(tmp_path) in path} == {
        str(tmp_path / 'a.obj'),
        str(tmp_path / 'a.ply'),
    }


def test_without_trimesh_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'trimesh', None)
    with pytest.raises(ImportError, match=r'a.off.*trimesh.*pip install'):
        read_points(write(tmp_path, 'a.off', 'OFF\n' + SQUARE))


# Numbers of points.


def test_num_points(tmp_path):
    path = write(tmp_path, 'a.xyz', ''.join(f'{i} 0 1\n' for i in range(100)))
    some = read_points(path, 10)[:, 0]
    assert len(set(some)) == 10 and (np.diff(some) > 0).all()  # in the file's order
    np.testing.assert_array_equal(some, read_points(path, 10)[:, 0])
    more = read_points(path, 130)
    np.testing.assert_array_equal(more[:100, 0], np.arange(100))
    assert len(more) == 130 and set(more[:, 0]) == set(range(100))
    with pytest.raises(ValueError, match='num_points: 0'):
        read_points(path, 0)


def test_coordinates_of_a_map_keep_their_differences(tmp_path):
    far = np.array([[4e6, 5e6, 100.0], [4e6 + 0.01, 5e6, 100.0], [4e6, 5e6 + 0.02, 100.01]])
    np.save(tmp_path / 'a.npy', far)
    points = read_points(tmp_path / 'a.npy')
    np.testing.assert_allclose(points - points[0], far - far[0], atol=1e-8)


# What is wrong.

BAD = {
    'empty.xyz': ('', 'is empty'),
    'comment.xyz': ('# only\n', 'no point'),
    'one.xyz': ('1 2 3\n', 'one point'),
    'same.xyz': ('1 2 3\n1 2 3\n', 'all 2 points'),
    'nan.xyz': ('1 2 3\n1 nan 3\n1 2 inf\n', r'2 of 3 points .* first is number 1'),
    'word.xyz': ('1 2 3\n1 2 x\n', 'x'),
    'short.txt': ('1,2,3\n1,2\n', 'short.txt'),
    'short.pts': ('3\n1 2 3\n4 5 6\n', 'cut off'),
    'claims.pts': ('99999999999\n1 2 3\n', 'cut off'),
    'a.las': ('x', 'type .las.*' + '.*'.join(POINT_SUFFIXES[:3])),
    'none': ('x', 'type .none'),
    'a.ply': (ply('binary_little_endian')[:-1], 'cut off'),
    'b.ply': (ply('binary_little_endian', count=10**15), 'cut off'),
    'c.ply': (ply('ascii', count=5), 'cut off'),
    'd.ply': (b'ply\nformat ascii 1.0\n', 'end_header'),
    'e.ply': (b'plx\n', 'no PLY'),
    'f.ply': (ply('ascii').replace(b'float z', b'float w'), 'x, y and z'),
    'g.ply': (MESH_PLY.replace('3 0 1 2\n', ''), 'cut off'),
    'a.pcd': (pcd('binary')[:-1], 'cut off'),
    'b.pcd': (pcd('binary', count=10**12), 'cut off'),
    'c.pcd': (pcd('binary_compressed')[:-1], 'cut off'),
    'd.pcd': (pcd('ascii', count=10**12), 'cut off'),
    'e.pcd': (pcd('ascii').replace(b'DATA ascii', b'DATA odd'), 'DATA odd'),
    'f.pcd': (pcd('ascii').replace(b'rgb x y z', b'rgb x y y'), 'x, y and z'),
    'a.off': ('OFF\n' + SQUARE[:-8], 'cut off'),
    'b.off': ('OFF\n99999999999 0 0\n', 'cut off'),
    'c.off': ('1 2 3\n', 'no OFF'),
    'd.off': ('OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n', 'd.off'),
    'a.obj': ('v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n', 'a.obj'),
    'a.stl': (bytes(80) + b'\xff\xff\xff\xff', 'cut off'),
    'b.stl': ('solid a\nendsolid a\n', 'b.stl'),
    'a.npy': (b'\x93NUMPY', 'a.npy'),
    'a.npz': (b'PK', 'a.npz'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_files_are_named(tmp_path, name):
    content, message = BAD[name]
    path = write(tmp_path, name, content)
    with pytest.raises(ValueError, match=f'(?s){path}.*{message}|{message}.*') as error:
        read_points(path)
    assert str(path) in str(error.value)


def test_missing_files_and_odd_arrays(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.ply'):
        read_points(tmp_path / 'none.ply')
    np.save(tmp_path / 'a.npy', POINTS[:, :2])
    with pytest.raises(ValueError, match=r'a.npy: points are \(N, 3 or more\)'):
        read_points(tmp_path / 'a.npy')
    np.save(tmp_path / 'b.npy', np.ones((3, 3), bool))
    with pytest.raises(ValueError, match='b.npy: points are numbers'):
        read_points(tmp_path / 'b.npy')
    (tmp_path / 'c.npy').mkdir()
    with pytest.raises(ValueError, match='c.npy is no regular file'):
        read_points(tmp_path / 'c.npy')


def test_lzf():
    # 'ab', then 2 + 1 bytes from 2 back (overlapping), then 2 + 7 + 1 from 1 back.
    block = bytes([1]) + b'ab' + bytes([(1 << 5), 1]) + bytes([7 << 5, 1, 0])
    assert lzf_decompress(block, 15) == b'ababa' + b'a' * 10
    for bad in (block[:-1], bytes([32, 5]), block + b'\0a'):
        with pytest.raises(ValueError, match='compressed data'):
            lzf_decompress(bad, 15)


def test_tables_longer_than_a_block():
    lines = [f'{i} 0 1' if i % 3 else '' for i in range(300_000)]
    table = read_table(lines, (2, 0))
    assert table.shape == (200_000, 2)
    np.testing.assert_array_equal(table[:3], [[1, 1], [1, 2], [1, 4]])
