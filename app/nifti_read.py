"""NIfTI-1 and NIfTI-2 files (.nii, .nii.gz, .hdr with .img), values and place as the file says.

Which place counts: the sform when its code says that there is one, else the qform, as nibabel does. A file with
neither doesn't say which side is left and is refused. When both are there and differ, the sform counts and a note
tells by how much; when they contradict each other in the sense of an axis, the file is refused.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.raw_image import RawImage, checked_grid, damaged, read_voxels, scaled

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz")
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_REFUSED = {1: "single bits", 32: "complex numbers", 128: "colours", 1536: "128-bit numbers", 1792: "complex numbers",
            2048: "complex numbers", 2304: "colours"}  # fmt: skip
_UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # not said, metre, millimetre, micrometre
_UNIT_NAMES = {1: "metres", 3: "micrometres"}
_MOST_CODE = 5  # of what a sform or qform refers to
_TOLD_MM = 0.1  # a qform is rounded to about a hundredth of a millimetre
_HALF_TURN = 4e-7  # what is left for the quaternion's first number where rounding makes it unknowable
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MAX_EXTENSION = 1 << 22
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, struct.error)


@dataclass(frozen=True)
class Header:
    """What of a NIfTI header is needed, in file order: dims are (x, y, z, ...)."""

    dims: tuple[int, ...]
    dtype: np.dtype[np.generic]
    offset: int
    slope: float
    intercept: float
    unit: int
    affine_ras: NDArray[np.float64]  # (4, 4): index (x, y, z, 1) to RAS in the file's unit
    data_apart: bool
    notes: tuple[str, ...]


def is_nifti(path: Path) -> bool:
    """Whether a file begins like NIfTI, whatever its name; False when it can't be read."""
    try:
        with _open(path) as stream:
            head = stream.read(348)
    except (OSError, *_DAMAGE):
        return False
    return len(head) == 348 and (head[344:347] in (b"n+1", b"ni1") or head[4:7] in (b"n+2", b"ni2"))


def read_extensions(path: Path) -> list[str]:
    """Texts that a program put behind the header; whatever can't be read there is left out."""
    try:
        head_path, _ = _pair(path)
        with _open(head_path) as stream:
            start = stream.read(540)
            header = _parse(start, head_path)
            first = 348 if start[344:347] in (b"n+1", b"ni1") else 540
            rest = start + stream.read(max(0, min(header.offset or _MAX_EXTENSION, _MAX_EXTENSION) - 540))
    except (OSError, UserError, *_DAMAGE):
        return []
    order = ">" if header.dtype.byteorder == ">" else "<"
    out = []
    at = first + 4
    while rest[first : first + 1] == b"\1" and at + 8 <= len(rest):
        size, _code = struct.unpack_from(f"{order}2i", rest, at)
        if size < 8 or at + size > len(rest):
            break
        out.append(rest[at + 8 : at + size].rstrip(b"\0").decode("utf-8", "replace"))
        at += size
    return out


def read_nifti(path: Path) -> RawImage:
    """Read a single 3D image; 4D with one time point counts as such.

    Raises
    ------
    UserError : not NIfTI, damaged, without a place in space, sheared, not 3D, or of colours or complex numbers.
    """
    head_path, data_path = _pair(path)
    try:
        with _open(head_path) as stream:
            header = _parse(stream.read(540), head_path)
            data = None if header.data_apart else _array(stream, header, 540, head_path)
        if data is None:
            if not data_path.is_file():
                raise UserError(f"{path.name} keeps its voxels in {data_path.name}, which isn't there.", "Copy both.")
            with _open(data_path) as stream:
                data = _array(stream, header, 0, data_path)
    except _DAMAGE as error:
        raise damaged(path) from error
    grid, notes = _grid(header, path)
    return RawImage(scaled(data.reshape(grid.shape), header.slope, header.intercept), grid, (*header.notes, *notes))


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb") if packed else path.open("rb"))


def _pair(path: Path) -> tuple[Path, Path]:
    """The header's file and the one for voxels kept apart."""
    for mine, other in ((".hdr", ".img"), (".HDR", ".IMG"), (".img", ".hdr"), (".IMG", ".HDR")):
        stem, _, rest = path.name.rpartition(mine)
        if stem and rest.lower() in ("", ".gz"):
            candidates = [path.with_name(f"{stem}{other}{end}") for end in (rest, "", ".gz")]
            partner = next((p for p in candidates if p.is_file()), candidates[0])
            if mine.lower() == ".hdr":
                return path, partner
            return partner if partner.is_file() else path, path
    return path, path


def _parse(head: bytes, path: Path) -> Header:
    order, version = _version(head, path)
    if version == 1:
        dims = struct.unpack_from(f"{order}8h", head, 40)
        code, bits = struct.unpack_from(f"{order}2h", head, 70)
        pixdim = struct.unpack_from(f"{order}8f", head, 76)
        offset, slope, intercept = struct.unpack_from(f"{order}3f", head, 108)
        units, magic = head[123], head[344:348]
        qcode, scode = struct.unpack_from(f"{order}2h", head, 252)
        quaternion = struct.unpack_from(f"{order}6f", head, 256)
        rows = struct.unpack_from(f"{order}12f", head, 280)
    else:
        magic = head[4:8]
        code, bits = struct.unpack_from(f"{order}2h", head, 12)
        dims = struct.unpack_from(f"{order}8q", head, 16)
        pixdim = struct.unpack_from(f"{order}8d", head, 104)
        offset, slope, intercept = struct.unpack_from(f"{order}q2d", head, 168)
        qcode, scode = struct.unpack_from(f"{order}2i", head, 344)
        quaternion = struct.unpack_from(f"{order}6d", head, 352)
        rows = struct.unpack_from(f"{order}12d", head, 400)
        units = struct.unpack_from(f"{order}i", head, 500)[0] & 0xFF
    apart = magic[:2] == b"ni"
    dtype = _dtype(code, bits, order, path)
    affine, notes = _affine(qcode, scode, pixdim, quaternion, rows, dims, path)
    slope, intercept = _scale(slope, intercept, path)
    least = 0 if apart else (352 if version == 1 else 544)
    if not math.isfinite(offset) or offset != int(offset) or offset < least:
        raise damaged(path, "it doesn't say where its voxels begin")
    return Header(_dims(dims, path), dtype, int(offset), slope, intercept, units & 7, affine, apart, tuple(notes))


def _version(head: bytes, path: Path) -> tuple[str, int]:
    """Byte order and version of the header."""
    for order in "<>":
        size = struct.unpack_from(f"{order}i", head)[0]
        if size == 348 and len(head) >= 348:
            if head[344:347] in (b"n+1", b"ni1"):
                return order, 1
            raise UserError(
                f"{path.name} is an Analyze file, not NIfTI: it doesn't say which side is left.",
                "Export the image as NIfTI or NRRD.",
            )
        if size == 540 and len(head) >= 540 and head[4:7] in (b"n+2", b"ni2"):
            return order, 2
    raise damaged(path, "it doesn't begin like a NIfTI file")


def _dims(dims: tuple[int, ...], path: Path) -> tuple[int, ...]:
    """(x, y, z). Raises UserError when it isn't a single 3D image."""
    count, sizes = dims[0], dims[1 : 1 + max(0, min(7, dims[0]))]
    if not 1 <= count <= 7 or any(n < 1 for n in sizes):
        raise damaged(path, "its header's dimensions make no sense")
    if count < 3 or any(n > 1 for n in sizes[3:]):
        what = " × ".join(map(str, sizes))
        raise UserError(f"{path.name} isn't a single 3D image: it is {what}.", "Choose a 3D image.")
    return tuple(int(n) for n in sizes[:3])


def _dtype(code: int, bits: int, order: str, path: Path) -> np.dtype[np.generic]:
    if code in _REFUSED:
        raise UserError(f"{path.name} holds {_REFUSED[code]}, not plain numbers.", "Choose a CT.")
    if code not in _TYPES:
        raise damaged(path, f"its numbers are of an unknown kind ({code})")
    dtype: np.dtype[np.generic] = np.dtype(order + _TYPES[code])
    if bits != dtype.itemsize * 8:
        raise damaged(path, f"its header says {bits} bits a voxel, where its kind of numbers has {dtype.itemsize * 8}")
    return dtype


def _scale(slope: float, intercept: float, path: Path) -> tuple[float, float]:
    """A slope of 0 means none, as does one that is no number."""
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise damaged(path, "its values have a scale but no valid offset")
    return float(slope), float(intercept)


def _affine(
    qcode: int,
    scode: int,
    pixdim: tuple[float, ...],
    quaternion: tuple[float, ...],
    rows: tuple[float, ...],
    dims: tuple[int, ...],
    path: Path,
) -> tuple[NDArray[np.float64], list[str]]:
    """(4, 4) from index (x, y, z) to RAS in the file's unit, and what to tell."""
    if not (0 <= scode <= _MOST_CODE and 0 <= qcode <= _MOST_CODE):  # programs take such a code for any or for none
        raise damaged(path, f"the codes of its sform ({scode}) and its qform ({qcode}) make no sense")
    if scode == 0 and qcode == 0:
        raise UserError(
            f"{path.name} doesn't say where its voxels lie nor which side is left (it has neither sform nor qform).",
            "Export it again from a program that writes the orientation.",
        )
    sform = np.vstack([np.array(rows, np.float64).reshape(3, 4), [0, 0, 0, 1]])
    if scode and not np.isfinite(sform).all():
        raise damaged(path, "its sform makes no sense")
    if not scode:
        return _qform(pixdim, quaternion, path), []
    if not qcode:
        return sform, []
    try:
        qform = _qform(pixdim, quaternion, path)
    except UserError:
        return sform, ["Its qform is damaged; its sform was used."]
    ends = np.array(np.meshgrid(*[(0, max(n - 1, 0)) for n in dims[1:4]], [1])).reshape(4, -1)
    apart = float(np.abs((sform - qform) @ ends).max())
    if not apart > _TOLD_MM:
        return sform, []
    if abs(np.linalg.det(sform[:3, :3])) > 1e-9:
        shape = (1, 1, 1)
        if Grid(shape, sform).world_axes != Grid(shape, qform).world_axes:
            raise UserError(
                f"{path.name} contradicts itself: its sform and its qform turn the image differently.",
                "Correct its header; one of the two must go.",
            )
    return sform, [f"Its sform and its qform differ by up to {apart:.2f} mm; the sform was used."]


def _qform(pixdim: tuple[float, ...], quaternion: tuple[float, ...], path: Path) -> NDArray[np.float64]:
    b, c, d, *origin = quaternion
    spare = 1.0 - (b * b + c * c + d * d)
    sizes = np.array([pixdim[1], pixdim[2], pixdim[3] * (-1 if pixdim[0] == -1 else 1)])
    if not spare > -1e-3 or not np.isfinite(sizes).all() or min(pixdim[1:4]) <= 0 or pixdim[0] not in (-1, 0, 1):
        raise damaged(path, "its qform makes no sense")
    a = math.sqrt(max(spare, 0.0))
    if spare < _HALF_TURN:
        a, length = 0.0, math.sqrt(b * b + c * c + d * d)
        b, c, d = b / length, c / length, d / length
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * sizes
    affine[:3, 3] = origin
    return affine


def _grid(header: Header, path: Path) -> tuple[Grid, list[str]]:
    if header.unit not in _UNITS_MM:
        raise damaged(path, "its unit of length is unknown")
    ras = header.affine_ras.copy()
    ras[:3] *= _UNITS_MM[header.unit]
    lps = _RAS_TO_LPS @ ras
    notes = []
    if header.unit in _UNIT_NAMES:
        notes.append(f"It is measured in {_UNIT_NAMES[header.unit]}; it was turned into millimetres.")
    # The file counts (x, y, z), we count (z, y, x).
    return checked_grid(header.dims[::-1], lps[:, [2, 1, 0, 3]], path), notes


def _array(stream: BinaryIO, header: Header, already_read: int, path: Path) -> NDArray[np.generic]:
    """All voxels in file order, from the offset that the header gives."""
    if stream.seekable():
        stream.seek(0)
        already_read = 0
    skip = header.offset - already_read
    if skip > 1 << 26:
        raise damaged(path, "its voxels are said to begin far inside it")
    while skip > 0:
        passed = len(stream.read(min(skip, 1 << 20)))
        if not passed:
            raise damaged(path)
        skip -= passed
    return read_voxels(stream, header.dtype, math.prod(header.dims), path)
