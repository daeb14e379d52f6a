"""Shards that are damaged, cut off or made to unfold: losses are said, memory is bounded."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import webdataset as wds
from PIL import Image

from mmclip.datasets import captions
from mmclip.datasets.captions import CaptionShards
from mmclip.io import shards
from mmclip.io.shards import DamagedShard, read_members, read_samples

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = 6


def png() -> bytes:
    stream = io.BytesIO()
    Image.new('RGB', (8, 6)).save(stream, 'png')
    return stream.getvalue()


def archive_of(files: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w', format=format) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def pairs(start: int = 0) -> dict[str, bytes]:
    image = png()
    return {
        f'{i:06d}.{ending}': content
        for i in range(start, start + SAMPLES)
        for ending, content in (('png', image), ('txt', b'number %d' % i))
    }


WHOLE = archive_of(pairs())
HEADER = WHOLE.index(b'000003.png')  # of the fourth sample
END = WHOLE.rindex(b'number 5') + 512  # of the last file


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


# What happened to a shard: its bytes, and the samples before the damage.
DAMAGES = {
    'a flipped byte of a name': (flipped(WHOLE, HEADER), 3),
    'a flipped byte of a size': (flipped(WHOLE, HEADER + 130), 3),
    'a flipped byte of a check sum': (flipped(WHOLE, HEADER + 150), 3),
    'cut off before a header': (WHOLE[:HEADER], 3),
    'cut off in a header': (WHOLE[: HEADER + 100], 3),
    'cut off in an image': (WHOLE[: HEADER + 530], 3),
    'zeros in the middle': (WHOLE[:HEADER] + bytes(512) + WHOLE[HEADER:], 3),
    'an end in the middle': (WHOLE[:HEADER] + bytes(1024) + WHOLE[HEADER:], 3),
    'a wiped header': (WHOLE[:HEADER] + bytes(512) + WHOLE[HEADER + 512 :], 3),
    'a second archive': (WHOLE + archive_of(pairs(9)), 6),
    'no end mark': (WHOLE[:END], 6),
    'half an end mark': (WHOLE[: END + 512], 6),
    'something behind the end': (WHOLE + b'x', 6),
    'not an archive': (b'no tar file' * 100, 0),
    'empty': (b'', 0),
    'a cut-off gzip': (gzip.compress(WHOLE)[:-9], 6),
    'a gzip with a wrong check sum': (flipped(gzip.compress(WHOLE), -8), 6),
}


@pytest.mark.parametrize('kind', DAMAGES)
def test_an_end_that_is_none_is_said(kind, tmp_path):
    data, kept = DAMAGES[kind]
    path = tmp_path / 'pairs.tar'
    path.write_bytes(data)
    problems = []
    samples = list(read_samples([dict(url=str(path))], handler=lambda e: not problems.append(e)))
    whole = [sample for sample in samples if 'png' in sample and 'txt' in sample]
    assert [sample['txt'].decode() for sample in whole] == [f'number {i}' for i in range(kept)]
    (problem,) = problems
    assert isinstance(problem, DamagedShard) and problem.shard == str(path)
    place = f'after {kept - 1:06d}.txt' if kept else 'at its start'
    assert f'{path} is damaged or cut off {place} (' in str(problem)


@pytest.mark.parametrize('format', [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize('packed', [False, True])
def test_whole_shards_are_read_as_webdataset_does(format, packed, tmp_path):
    folder = 'folder' * (20 if format == tarfile.USTAR_FORMAT else 30)  # it has room for no more
    files = {f'{folder}/{name}': data for name, data in pairs().items()}
    data = archive_of(files | {'__meta__/0.txt': b'x', 'no_ending': b'y'}, format) + bytes(4096)
    paths = [tmp_path / 'a.tar', tmp_path / 'b.tar']
    for path in paths:
        path.write_bytes(gzip.compress(data) if packed else data)
    sources = [dict(url=str(path)) for path in paths]
    ours = list(read_samples(sources, handler=lambda error: pytest.fail(str(error))))
    assert len(ours) == 2 * SAMPLES
    assert ours == list(
        wds.DataPipeline(wds.SimpleShardList([str(p) for p in paths]), wds.tarfile_to_samples())
    )


def test_no_sample_goes_on_in_the_next_shard(tmp_path):
    image = archive_of({'0.png': png()})
    (tmp_path / 'a.tar').write_bytes(image[: image.rindex(b'IEND') // 512 * 512 + 512])
    (tmp_path / 'b.tar').write_bytes(archive_of({'0.txt': b'words of another'}))
    sources = [dict(url=str(tmp_path / name)) for name in ('a.tar', 'b.tar')]
    samples = list(read_samples(sources, handler=lambda error: True))
    assert [sorted(k for k in s if k[0] != '_') for s in samples] == [['png'], ['txt']]


def test_training_counts_each_pass_and_names_a_shard_once(tmp_path, monkeypatch):
    for name in ('RANK', 'WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / 'pairs.tar').write_bytes(DAMAGES['a flipped byte of a name'][0])
    broken = archive_of({f'{i}.txt': b'no image' for i in range(2)})
    (tmp_path / 'other.tar').write_bytes(broken)
    names = [str(tmp_path / name) for name in ('other.tar', 'pairs.tar')]
    data = CaptionShards(shards=names, epoch_size=3, shuffle=0)
    log = []
    monkeypatch.setattr(captions, 'print_log', lambda text, *_, **__: log.append(text))
    assert {data[i]['text'] for i in range(12)} == {'number 0', 'number 1', 'number 2'}
    assert data.skipped >= 3 * 3  # at least three whole passes
    said = [text for text in log if 'is damaged or cut off' in text]
    assert len(said) == 1 and 'pairs.tar is damaged or cut off after 000002.txt' in said[0]


def header(name: str, size: int, type: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, type
    return member.tobuf(tarfile.GNU_FORMAT)


def sparse(size: int) -> bytes:
    """A file of GNU's old kind that is one hole."""
    block = bytearray(header('0.png', 0, tarfile.GNUTYPE_SPARSE))
    block[483:495] = b'%012o' % size
    block[148:156] = b'%06o\0 ' % tarfile.calc_chksums(bytes(block))[0]
    return bytes(block)


def sparse_1_0(content: bytes) -> bytes:
    """A file of the newer kind, with the map of its holes in front of its content."""
    member = tarfile.TarInfo('GNUSparseFile.0/0.png')
    member.size = len(content)
    member.pax_headers = {
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': '0.png',
        'GNU.sparse.realsize': str(2**33),
    }
    return member.tobuf(tarfile.PAX_FORMAT) + content


def pax(**settings: str) -> bytes:
    member = tarfile.TarInfo('0.png')
    member.pax_headers = settings
    return member.tobuf(tarfile.PAX_FORMAT)


def zeros(size: int) -> bytes:
    """Gzip of so many zeros, in parts of 2^24."""
    return gzip.compress(bytes(2**24)) * (size >> 24)


def bombs() -> dict[str, tuple[bytes, str]]:
    """Small files that claim or unfold to gigabytes, and what is said about each."""
    claim = 2**33 - 1
    members = b''.join(gzip.compress(header(f'{i}.png', 2**27)) + zeros(2**27) for i in range(32))
    return {
        'sparse.tar': (sparse(2**33 - 1) + bytes(1024), 'stored with holes'),
        'sparse_1_0.tar': (sparse_1_0(b'1\n0\n0\n'.ljust(512, b'\0')), 'stored with holes'),
        'claim.tar': (header('0.png', claim) + bytes(4096), f'0.png has {claim} bytes'),
        'cut.tar': (header('0.png', 2**28) + bytes(4096), 'unexpected end of data'),
        'pax_size.tar': (pax(size=str(2**40)) + bytes(1024), f'0.png has {2**40} bytes'),
        'negative.tar': (pax(size='-5') + bytes(1024), '0.png has -5 bytes'),
        'name.tar': (
            header('././@LongLink', 2**24, tarfile.GNUTYPE_LONGNAME) + bytes(2**15),
            f'has {2**24} bytes; at most {2**20} are read',
        ),
        'one.tar.gz': (gzip.compress(header('0.png', 2**32)) + zeros(2**32), f'{2**32} bytes'),
        'many.tar.gz': (members, 'unfolds to more than 100 times'),
        'header.tar.gz': (
            gzip.compress(header('x', 2**32, tarfile.XHDTYPE)) + zeros(2**32),
            f'at most {2**20} are read',
        ),
        'padding.tar.gz': (zeros(2**32), 'zeros between its files'),
    }


SCRIPT = """
import json, resource, sys
from pathlib import Path
from mmclip.io.image import open_image, decode_image
from mmclip.io.shards import read_members
pages = int(open('/proc/self/statm').read().split()[0])
limit = pages * resource.getpagesize() + 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
said = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    readers = dict(shard=lambda: sum(1 for _ in read_members(str(path))))
    if path.suffix == '.png':
        readers = dict(pillow=lambda: open_image(path), opencv=lambda: decode_image(path))
    for name, read in readers.items():
        try:
            said[f'{path.name} {name}'] = f'read: {read()}'
        except Exception as error:
            said[f'{path.name} {name}'] = f'{type(error).__name__}: {error}'
print(json.dumps(said))
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='limits the memory of a process')
def test_small_files_cannot_ask_for_gigabytes(tmp_path):
    expected = {}
    for name, (data, message) in bombs().items():
        (tmp_path / name).write_bytes(data)
        expected[f'{name} shard'] = message
    Image.new('1', (32000, 32000)).save(tmp_path / 'large.png')
    assert (tmp_path / 'large.png').stat().st_size < 2**20
    expected |= {'large.png pillow': 'is too large', 'large.png opencv': 'is too large'}
    run = subprocess.run(
        [sys.executable, '-c', SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
    )
    assert run.returncode == 0, run.stderr[-2000:]
    said = json.loads(run.stdout.splitlines()[-1])
    assert said.keys() == expected.keys()
    for name, message in expected.items():
        kind = 'ValueError' if 'large' in name else 'DamagedShard'
        assert said[name].startswith(kind) and message in said[name], (name, said[name])
        assert name.split()[0] in said[name] and 'MemoryError' not in said[name]


def test_settings_for_the_rest_of_an_archive_are_counted(tmp_path, monkeypatch):
    member = tarfile.TarInfo.create_pax_global_header({f'k{i}': 'v' for i in range(5)})
    (tmp_path / 'a.tar').write_bytes(member + WHOLE)
    assert len(list(read_members(str(tmp_path / 'a.tar')))) == 2 * SAMPLES
    monkeypatch.setattr(shards, 'MAX_SETTINGS', 4)
    with pytest.raises(DamagedShard, match='more than 4 global settings'):
        list(read_members(str(tmp_path / 'a.tar')))


def test_a_chain_of_headers_is_an_error(tmp_path):
    chain = pax(comment='x')[:1024] * 3000
    (tmp_path / 'a.tar').write_bytes(chain + WHOLE)
    with pytest.raises(DamagedShard, match='RecursionError'):
        list(read_members(str(tmp_path / 'a.tar')))


def test_a_shard_that_is_gone_is_named(tmp_path):
    with pytest.raises(DamagedShard, match=r'gone\.tar.*at its start.*FileNotFoundError'):
        list(read_members(str(tmp_path / 'gone.tar')))
