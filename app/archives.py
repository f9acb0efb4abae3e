"""Files that lie in a zip archive, read where they are: nothing of a patient is ever unpacked to a disk.

A file in an archive is named by a plain path that goes on after the archive's own: ``ct.zip/CT/IM1``. `open_binary`
opens both kinds. An archive is checked as a whole when it is first met: encrypted or damaged ones, names that point out
of it and archives that would unpack to absurd sizes are refused. Every file is compared with its checksum when its
header is read.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from contourdesk.app.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_LOCAL_HEADER = 30
_CHUNK = 1 << 16
_SMALL = 256 << 20  # bytes of which no archive is a bomb
_MOST_RATIO = 200  # a whole CT shrinks three times; single empty slices much more
_MOST_BYTES = 64 << 30
_MOST_FILES = 200_000
_UNPACK = "Unpack it with another program and open the folder."


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, whatever it is called. Raises OSError."""
    with path.open("rb") as stream:
        return stream.read(4) in _MAGIC


def members(archive: Path) -> list[Path]:
    """Paths of the files in an archive, in a fixed order.

    Raises
    ------
    UserError : damaged, encrypted, unsafe or absurdly large; says which.
    """
    return sorted(archive / name for name in _index_of(archive))


def open_binary(path: Path) -> BinaryIO:
    """Open a file, or a file in an archive, for reading; it can be sought in.

    Raises
    ------
    OSError : there is none, or it may not be read.
    UserError : the archive that it lies in can't be used.
    """
    try:
        return path.open("rb")
    except (NotADirectoryError, FileNotFoundError):
        archive = archive_of(path)
        if archive is None:
            raise
    info = _index_of(archive).get(path.relative_to(archive).as_posix())
    if info is None:
        raise FileNotFoundError(2, "not in the archive", str(path))
    return _open_member(archive, info)


def archive_of(path: Path) -> Path | None:
    """The archive that a path leads into, None when it is a path of its own."""
    if path.exists():
        return None
    return next((parent for parent in path.parents if parent.is_file()), None)


def fingerprint(path: Path) -> tuple[int, int]:
    """Size in bytes, and a number that changes with the content (its time of change, or its checksum in an archive).

    Raises OSError.
    """
    try:
        found = path.stat()
        return found.st_size, found.st_mtime_ns
    except (NotADirectoryError, FileNotFoundError):
        archive = archive_of(path)
        info = None if archive is None else _index_of(archive).get(path.relative_to(archive).as_posix())
        if info is None:
            raise
        return info.file_size, info.CRC


def inflated(stream: BinaryIO, start: int, size: int, limit: int, *, keep_open: bool = False) -> BinaryIO:
    """What a raw deflate stream from byte `start` of `size` holds, at most `limit` bytes of it; it can be sought in.

    Closing it closes `stream`, unless that is to be kept open.
    """
    return io.BufferedReader(_Unpacked(stream, (start, size - start), limit, keep_open=keep_open), _CHUNK)


def check_to_end(stream: BinaryIO) -> None:
    """Read on to the end, so that a file in an archive is compared with its checksum. Raises BadZipFile."""
    raw = getattr(stream, "raw", None)
    if isinstance(raw, _Unpacked) and raw.checksum is not None:
        while stream.read(_CHUNK):
            pass
        if not raw.is_whole:
            raise zipfile.BadZipFile("not what was packed")


class _Unpacked(io.RawIOBase):
    """What is packed in a part of a stream. Seeking back begins anew; closing it closes the stream.

    Parameters
    ----------
    part : first byte and length;  size : of what is read from it, at most;  checksum : compared at its end.
    """

    def __init__(
        self,
        stream: BinaryIO,
        part: tuple[int, int],
        size: int,
        checksum: int | None = None,
        *,
        stored: bool = False,
        keep_open: bool = False,
    ) -> None:
        super().__init__()
        self.name = getattr(stream, "name", "")  # pydicom asks for it
        self.size, self.checksum = size, checksum
        self._stream, self._part, self._stored, self._keep_open = stream, part, stored, keep_open
        self._begin()

    def _begin(self) -> None:
        self._at = self._sum = 0
        self._packed_left = self._part[1]
        self._inflater = None if self._stored else zlib.decompressobj(-zlib.MAX_WBITS)
        self._stream.seek(self._part[0])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        target = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if target < self._at:
            self._begin()
        while self._at < target and self._more(min(_CHUNK, target - self._at)):
            pass
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._more(len(view))
        view[: len(data)] = data
        return len(data)

    @property
    def is_whole(self) -> bool:
        """Whether all was read, and agrees with the checksum."""
        return self._at == self.size and self._sum == self.checksum

    def close(self) -> None:
        if not self._keep_open:
            self._stream.close()
        super().close()

    def _more(self, count: int) -> bytes:
        """The next bytes, at most `count`; none at the end, wherever that is. Raises BadZipFile and zlib.error."""
        count = min(count, self.size - self._at)
        if count <= 0:
            return b""
        data = self._packed(count) if self._inflater is None else self._inflate(self._inflater, count)
        self._at += len(data)
        if self.checksum is not None:
            self._sum = zlib.crc32(data, self._sum)
            if self._at == self.size and self._sum != self.checksum:
                raise zipfile.BadZipFile("wrong checksum")
        return data

    def _inflate(self, inflater: zlib._Decompress, count: int) -> bytes:
        while not inflater.eof:
            packed = inflater.unconsumed_tail or self._packed(_CHUNK)
            data = inflater.decompress(packed, count)
            if data or not packed:
                return data
        return b""

    def _packed(self, count: int) -> bytes:
        data = self._stream.read(min(count, self._packed_left))
        self._packed_left -= len(data)
        return data


def _open_member(archive: Path, info: zipfile.ZipInfo) -> BinaryIO:
    stream = archive.open("rb")
    try:
        stream.seek(info.header_offset)
        head = stream.read(_LOCAL_HEADER)
        if len(head) < _LOCAL_HEADER or head[:4] != _MAGIC[0]:
            raise zipfile.BadZipFile("no local header")
        names = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        part = info.header_offset + _LOCAL_HEADER + names, info.compress_size
        stored = info.compress_type == zipfile.ZIP_STORED
        return io.BufferedReader(_Unpacked(stream, part, info.file_size, info.CRC, stored=stored), _CHUNK)
    except BaseException:
        stream.close()
        raise


def _index_of(archive: Path) -> Mapping[str, zipfile.ZipInfo]:
    found = archive.stat()
    return _index(str(archive), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4)
def _index(archive: str, size: int, changed: int) -> Mapping[str, zipfile.ZipInfo]:
    """The archive's files by name, for as long as it doesn't change; checked."""
    name = Path(archive).name
    try:
        with zipfile.ZipFile(archive) as opened:
            infos = [info for info in opened.infolist() if not info.is_dir() or info.file_size]
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, LookupError, EOFError) as error:
        raise UserError(f"{name} can't be read as a zip archive; it may be cut short.", "Copy it again.") from error
    _check(name, infos, size)
    out: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        key = PurePosixPath(info.filename).as_posix()
        if key in out:
            raise UserError(f'{name} holds two files called "{key}".', _UNPACK)
        out[key] = info
    return out


def _check(name: str, infos: list[zipfile.ZipInfo], size: int) -> None:
    for info in infos:
        if info.flag_bits & 1:
            raise UserError(f"{name} is encrypted.", "Unpack it with its password and open the folder.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{name} is packed by a method (number {info.compress_type}) that can't be read.", _UNPACK)
        if info.is_dir():
            raise UserError(f"{name} can't be read as a zip archive; it may be damaged.", "Copy it again.")
        parts = info.filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise UserError(f'{name} holds a file whose name leads out of it: "{info.filename}".', "Don't trust it.")
    total = sum(info.file_size for info in infos)
    if len(infos) > _MOST_FILES or total > _MOST_BYTES or (total > _SMALL and total > _MOST_RATIO * size):
        raise UserError(
            f"{name} would unpack to {len(infos):,} files of {total / 2**30:,.1f} GiB, which no CT does.",
            "Don't trust it; if you do, unpack it with another program and open the folder.",
        )
    end = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        if info.header_offset < end:
            raise UserError(f"{name} can't be read as a zip archive: its files overlap.", "Don't trust it.")
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
    if end > size:
        raise UserError(f"{name} can't be read as a zip archive; it may be cut short.", "Copy it again.")
