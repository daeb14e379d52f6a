"""Samples of WebDataset shards, each read to the proper end of its archive."""

import gzip
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from webdataset.gopen import gopen
from webdataset.tariterators import group_by_keys

MAX_MEMBER = 2**28  # bytes of a file in a shard
MAX_HEADER = 2**20  # bytes of a long name and of other settings before a file
MAX_SETTINGS = 100  # that hold for the rest of an archive
MAX_PADDING = 2**20  # zeros behind the end
MAX_RATIO = 100  # to which a compressed shard may unfold

HEADERS = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
NOT_SAMPLES = re.compile(r'__[^/]*__($|/)')
GZIP = b'\x1f\x8b'


class DamagedShard(ValueError):
    """A shard that cannot be read to its proper end.

    Args:
        shard: Its address.
        last: The last file in it that was read whole.
        problem: What came then.
    """

    def __init__(self, shard: str, last: str | None, problem: str) -> None:
        place = f'after {last}' if last else 'at its start'
        super().__init__(
            f'shards: {shard} is damaged or cut off {place} ({problem}); get or write it again'
        )
        self.shard = shard


def read_samples(
    sources: Iterable[dict[str, str]], *, handler: Callable[[Exception], bool]
) -> Iterator[dict[str, Any]]:
    """Read the raw samples of shards, one shard after the other.

    Plain and gzip-compressed archives are read. The end of one is two blocks of zeros with nothing
    behind them: anything else, which Python's tarfile takes for an end too, has lost samples.

    Args:
        sources: ``dict(url=...)`` of each shard, as of ``wds.SimpleShardList``.
        handler: Gets a :class:`DamagedShard`, after the samples before the damage, or the error of
            a name that comes twice. Says whether to go on.
    """
    return group_by_keys(_files(sources, handler), handler=handler)


def _files(
    sources: Iterable[dict[str, str]], handler: Callable[[Exception], bool]
) -> Iterator[dict[str, Any]]:
    for source in sources:
        url = source['url']
        try:
            for name, data in read_members(url):
                yield dict(fname=name, data=data, __url__=url)
        except DamagedShard as error:
            if not handler(error):
                return
        yield {}  # no sample goes on in the next shard


def read_members(url: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the regular files in a shard, in its order.

    Raises:
        DamagedShard: it cannot be read to its proper end, or it holds more than may be read.
    """
    last = None
    try:
        raw = _Counted(gopen(url))
        folded = raw.head == GZIP
        stream = gzip.GzipFile(fileobj=raw) if folded else raw
        with tarfile.open(fileobj=stream, mode='r|', tarinfo=_Member) as archive:
            for member in archive:
                archive.members = []  # it would keep them all
                if folded and archive.offset > MAX_MEMBER + MAX_RATIO * raw.count:
                    raise tarfile.ReadError(f'it unfolds to more than {MAX_RATIO} times its size')
                if member.isreg() and not NOT_SAMPLES.match(member.name):
                    data = archive.fileobj.read(member.size)  # the stream is at its content
                    if len(data) < member.size:
                        raise tarfile.ReadError('unexpected end of data')
                    yield member.name, data
                last = member.name
    except Exception as error:  # there is no list of what damaged data makes the readers raise
        raise DamagedShard(url, last, f'{type(error).__name__}: {error}') from error


class _Counted:
    """A stream that counts what is read, and whose first two bytes are known beforehand."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.head = self._unread = stream.read(2)
        self.count = len(self.head)

    def read(self, size: int) -> bytes:
        if self._unread:
            data, self._unread = self._unread, b''
            return data
        data = self.stream.read(size)
        self.count += len(data)
        return data


class _Member(tarfile.TarInfo):
    """A header that is bounded in what it claims and never taken for the end."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> '_Member':
        member = super().frombuf(buf, encoding, errors)
        if member.type == tarfile.GNUTYPE_SPARSE:
            member._proc_gnusparse_10()
        member._check_size(MAX_HEADER if member.type in HEADERS else MAX_MEMBER)
        return member

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> '_Member':
        try:
            member = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # a block of zeros
            _check_end(archive.fileobj)
            raise
        except tarfile.HeaderError as error:  # these would end the archive without a word
            raise tarfile.ReadError(str(error)) from None
        member._check_size(MAX_MEMBER)  # that of an extended header
        if member.issparse():
            member._proc_gnusparse_10()
        if len(archive.pax_headers) > MAX_SETTINGS:
            raise tarfile.ReadError(f'more than {MAX_SETTINGS} global settings')
        return member

    def _check_size(self, limit: int) -> None:
        if not 0 <= self.size <= limit:
            raise tarfile.ReadError(f'{self.name} has {self.size} bytes; at most {limit} are read')

    def _proc_gnusparse_10(self, *_) -> None:
        # tarfile calls it before it reads a map of the holes, which may be of any length.
        raise tarfile.ReadError(f'{self.name} is stored with holes (sparse)')


def _check_end(stream: BinaryIO) -> None:
    """Raise unless a second block of zeros follows, and then nothing but some more."""
    rest = stream.read(MAX_PADDING + 1)
    if len(rest) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError('its end mark is cut off')
    if len(rest) > MAX_PADDING or rest.strip(b'\0'):
        raise tarfile.ReadError('zeros between its files')
