"""NRRD files: header, voxels, place in space. Any order of axes, any of the format's own encodings.

`read_nrrd` gives what the file holds, also with a list axis beside the three of space (Slicer's segmentations have
one); `nrrd_image` makes a single 3D image of it.
"""

from __future__ import annotations

import bz2
import gzip
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.raw_image import RawImage, checked_grid, damaged, read_voxels

SUFFIXES = (".nrrd", ".nhdr")
_MAX_HEADER = 1 << 22  # bytes; Slicer's segmentations of a hundred segments have 60 kB
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(
        ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"), "i8"
    ),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
# The signs that turn a world axis into LPS.
_SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1, 1, 1)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1, -1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1, -1, 1)),
}
_UNITS_MM = {"mm": 1.0, "": 1.0, "um": 0.001, "µm": 0.001, "cm": 10.0, "m": 1000.0}
_RAW, _ASCII, _HEX, _GZIP, _BZIP2 = "raw", "ascii", "hex", "gzip", "bzip2"
_ENCODINGS = {"raw": _RAW, "txt": _ASCII, "text": _ASCII, "ascii": _ASCII, "hex": _HEX, "gz": _GZIP, "gzip": _GZIP,
              "bz2": _BZIP2, "bzip2": _BZIP2}  # fmt: skip
_VECTOR = re.compile(r"none|\([^()]*\)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class NrrdHeader:
    """A NRRD's header.

    Parameters
    ----------
    fields : the format's own, names in lower case;  keys : the user's (``key:=value``).
    sizes : fastest axis first, as in the file.
    directions : for each of these axes the step in LPS mm, None for one that lies in no space.
    origin : LPS mm of the first voxel.
    """

    fields: dict[str, str]
    keys: dict[str, str]
    sizes: tuple[int, ...]
    dtype: np.dtype[np.generic]
    directions: tuple[NDArray[np.float64] | None, ...]
    origin: NDArray[np.float64]
    length: int = field(default=0, repr=False)  # bytes of the header in its file

    @property
    def spatial_axes(self) -> list[int]:
        """File axes that lie in space, fastest first."""
        return [i for i, d in enumerate(self.directions) if d is not None]


def is_nrrd(path: Path) -> bool:
    """Whether a file begins like NRRD, whatever its name; False when it can't be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(7) == b"NRRD000"
    except OSError:
        return False


def read_header(path: Path) -> NrrdHeader:
    """Read and check the header alone.

    Raises
    ------
    UserError : not NRRD, damaged, or without a place in space.
    """
    with path.open("rb") as stream:
        fields, keys = _lines(stream, path)
        length = stream.tell()
    sizes = _whole_numbers(fields, "sizes", path)
    dimension = _whole_numbers(fields, "dimension", path)
    if dimension != (len(sizes),) or not 1 <= len(sizes) <= 16 or min(sizes) < 1:
        raise damaged(path, "its header's dimensions make no sense")
    directions, origin = _space(fields, len(sizes), path)
    return NrrdHeader(fields, keys, sizes, _dtype(fields, path), directions, origin, length)


def read_nrrd(path: Path) -> tuple[NrrdHeader, NDArray[np.generic]]:
    """Read header and voxels; the array has the file's axes, slowest first.

    Raises
    ------
    UserError : see `read_header`; also when the voxels are cut short or lie in several files.
    """
    header = read_header(path)
    count = math.prod(header.sizes)
    encoding = _ENCODINGS.get(header.fields.get("encoding", "").lower())
    if encoding is None:
        raise damaged(path, "the encoding of its voxels is unknown")
    try:
        with _data(header, encoding, path) as stream:
            flat = _numbers(stream, encoding, header.dtype, count, path)
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError, OverflowError) as error:
        raise damaged(path) from error
    except OSError as error:
        if error.errno is None:  # bzip2 says so of damaged data
            raise damaged(path) from error
        raise
    return header, flat.reshape(header.sizes[::-1])


def nrrd_image(header: NrrdHeader, array: NDArray[np.generic], path: Path) -> RawImage:
    """A single 3D image; further axes of one element don't count.

    Raises
    ------
    UserError : it isn't one.
    """
    space = header.spatial_axes
    more = [n for i, n in enumerate(header.sizes) if i not in space and n > 1]
    if len(space) != 3 or more:
        what = " × ".join(map(str, header.sizes))
        raise UserError(f"{path.name} isn't a single 3D image: it is {what}.", "Choose a 3D image.")
    voxels = array.reshape([header.sizes[i] for i in space[::-1]])
    return RawImage(voxels, spatial_grid(header, path))


def spatial_grid(header: NrrdHeader, path: Path) -> Grid:
    """The grid of the three axes in space, (z, y, x) being the slowest to the fastest of them.

    Raises
    ------
    UserError : there aren't three, or they are sheared.
    """
    space = header.spatial_axes
    if len(space) != 3:
        raise UserError(f"{path.name} has {len(space)} axes in space, not three.", "Choose a 3D image.")
    affine = np.eye(4)
    for column, axis in enumerate(space[::-1]):
        affine[:3, column] = header.directions[axis]
    affine[:3, 3] = header.origin
    return checked_grid([header.sizes[i] for i in space[::-1]], affine, path)


def _lines(stream: BinaryIO, path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Fields and keys up to the empty line or the end."""
    if not re.match(rb"NRRD000[1-5]\s*$", stream.readline(64)):
        raise damaged(path, "it doesn't begin like a NRRD file")
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    while raw := stream.readline(_MAX_HEADER):
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not line:
            break
        if stream.tell() > _MAX_HEADER:
            raise damaged(path, "its header never ends")
        if line.startswith("#"):
            continue
        name, colon, rest = line.partition(":")
        if not colon:
            raise damaged(path, "a line of its header makes no sense")
        if rest.startswith("="):
            if name in keys:
                raise damaged(path, f'its header has two lines "{name}"')
            keys[name] = rest[1:]
            continue
        name = " ".join(name.lower().split())
        name = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}.get(name, name)
        if name in fields:
            raise damaged(path, f'its header has two lines "{name}"')
        fields[name] = rest.strip()
        if name == "data file" and fields[name].upper().startswith("LIST"):
            break
    return fields, keys


def _whole_numbers(fields: dict[str, str], name: str, path: Path) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in fields[name].split())
    except (KeyError, ValueError) as error:
        raise damaged(path, f'the line "{name}" of its header is missing or damaged') from error


def _dtype(fields: dict[str, str], path: Path) -> np.dtype[np.generic]:
    kind = _TYPES.get(" ".join(fields.get("type", "").lower().split()))
    if kind is None:
        raise damaged(path, f"its numbers are of an unknown kind ({fields.get('type', 'not said')})")
    plain = _ENCODINGS.get(fields.get("encoding", "").lower()) == _ASCII
    endian = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower())
    if endian is None and kind[1] != "1" and not plain:
        raise damaged(path, "it doesn't say in which order the bytes of its numbers are")
    return np.dtype((endian or "=") + kind)


def _space(
    fields: dict[str, str], dimension: int, path: Path
) -> tuple[tuple[NDArray[np.float64] | None, ...], NDArray[np.float64]]:
    """Steps along the axes and place of the first voxel in LPS mm."""
    signs = _SPACES.get(fields.get("space", "").lower())
    if signs is None or "space directions" not in fields or "space origin" not in fields:
        raise UserError(
            f"{path.name} doesn't say where its voxels lie in the patient (space, space directions and space origin).",
            "Export it again from a program that writes the orientation.",
        )
    scale = np.array(signs, np.float64) * _unit(fields, path)
    steps, origins = (_vectors(fields[name], path) for name in ("space directions", "space origin"))
    if len(steps) != dimension or len(origins) != 1 or (origin := origins[0]) is None:
        raise damaged(path, "what it says of its axes makes no sense")
    return tuple(None if s is None else s * scale for s in steps), origin * scale


def _unit(fields: dict[str, str], path: Path) -> float:
    names = re.findall(r'"([^"]*)"', fields.get("space units", "")) or [""]
    if len(set(names)) != 1 or names[0].strip() not in _UNITS_MM:
        raise damaged(path, "its unit of length is unknown")
    return _UNITS_MM[names[0].strip()]


def _vectors(text: str, path: Path) -> list[NDArray[np.float64] | None]:
    """Vectors in parentheses, one after the other, and nothing beside them."""
    if _VECTOR.sub("", text).strip():
        raise damaged(path, "what it says of its axes makes no sense")
    return [_vector(word, path) for word in _VECTOR.findall(text)]


def _vector(word: str, path: Path) -> NDArray[np.float64] | None:
    """(3,) numbers, None for an axis in no space."""
    if word.lower() == "none":
        return None
    try:
        values = np.array([float(v) for v in word.strip("() ").split(",")], np.float64)
    except ValueError as error:
        raise damaged(path, "what it says of its axes makes no sense") from error
    if values.shape != (3,):
        raise damaged(path, "what it says of its axes makes no sense")
    return None if np.isnan(values).all() else values  # "(nan,nan,nan)" is an old way to say none


@contextmanager
def _data(header: NrrdHeader, encoding: str, path: Path) -> Iterator[BinaryIO]:
    """A stream that stands at the first voxel."""
    name = header.fields.get("data file")
    lines, skip = (int(header.fields.get(n, "0")) for n in ("line skip", "byte skip"))
    if lines < 0 or skip < (-1 if encoding == _RAW else 0):
        raise damaged(path, "its header skips backwards")
    with (path if name is None else _apart(name, path)).open("rb") as stream:
        if name is None:
            stream.seek(header.length)
        for _ in range(lines):
            stream.readline()
        if skip == -1:
            stream.seek(-math.prod(header.sizes) * header.dtype.itemsize, 2)
            yield stream
            return
        opened: BinaryIO = stream
        if encoding == _GZIP:
            opened = cast(BinaryIO, gzip.GzipFile(fileobj=stream))
        elif encoding == _BZIP2:
            opened = cast(BinaryIO, bz2.BZ2File(stream))
        opened.read(skip)
        yield opened


def _apart(name: str, path: Path) -> Path:
    """The file that holds the voxels of a detached header; in its folder or below, nowhere else."""
    if name.upper().startswith("LIST") or "%" in name:
        raise UserError(f"{path.name} keeps its voxels in several files.", "Save it as one file.")
    target = path.parent / name.replace("\\", "/")
    if not target.resolve().is_relative_to(path.parent.resolve()):
        raise UserError(f"{path.name} names a file outside its folder for its voxels.", "Put both into one folder.")
    if not target.is_file():
        raise UserError(f"{path.name} keeps its voxels in {target.name}, which isn't there.", "Copy both.")
    return target


def _numbers(
    stream: BinaryIO, encoding: str, dtype: np.dtype[np.generic], count: int, path: Path
) -> NDArray[np.generic]:
    if encoding == _HEX:
        stream = BytesIO(bytes.fromhex("".join(stream.read().decode("ascii").split())))
    if encoding != _ASCII:
        return read_voxels(stream, dtype, count, path)
    words = stream.read().split()
    if len(words) != count:
        raise damaged(path, f"it has {len(words)} numbers instead of {count}")
    return np.array([float(word) if dtype.kind == "f" else int(word) for word in words], dtype)
