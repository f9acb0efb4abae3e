"""What NIfTI and NRRD reading share: the image as a file holds it, and reading numbers without trusting the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid

MAX_BYTES = 1 << 34  # more than any CT; a header that asks for it is damaged
_MOST_COMPRESSED = 1100  # deflate can't pack more bytes into one
_SURPLUS = 1 << 24  # bytes behind the voxels that are looked at, for the checksum at the end
_CHUNK = 1 << 20
_SHEAR = 1e-3  # cosine of the angle between two axes


@dataclass(frozen=True, eq=False)
class RawImage:
    """An image file's voxels (z, y, x), values as the file means them, where they lie, and what the reader noticed."""

    array: NDArray[np.generic]
    grid: Grid
    notes: tuple[str, ...] = ()


def damaged(path: Path, what: str = "it may be damaged or cut short") -> UserError:
    """The error for a file that can't be read as what it claims to be."""
    return UserError(f"{path.name} can't be read as an image: {what}.", "Copy or export it again.")


def read_voxels(stream: BinaryIO, dtype: np.dtype[np.generic], count: int, path: Path) -> NDArray[np.generic]:
    """Read `count` numbers from where the stream stands, in the machine's byte order, then the rest for its checksum.

    Raises
    ------
    UserError : there are fewer, or much more behind them.
    """
    length = count * dtype.itemsize
    if length > MAX_BYTES or length > max(path.stat().st_size, 1) * _MOST_COMPRESSED:
        raise damaged(path, f"its header asks for {length / 1e9:.3g} GB, which it can't hold")
    out = np.empty(count, dtype)
    view = out.view(np.uint8)
    done = 0
    while done < length:
        data = stream.read(min(_CHUNK, length - done))
        if not data:
            raise damaged(path, f"it ends after {done} of {length} bytes")
        view[done : done + len(data)] = np.frombuffer(data, np.uint8)
        done += len(data)
    surplus = 0
    while data := stream.read(_CHUNK):
        surplus += len(data)
        if surplus > _SURPLUS:
            raise damaged(path, "there is more data in it than its header says")
    if not dtype.isnative:
        out = out.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return out


def checked_grid(shape: Sequence[int], affine: NDArray[np.float64], path: Path) -> Grid:
    """A grid from what a file says, with axes at right angles.

    Raises
    ------
    UserError : the affine is no place in space, or sheared.
    """
    linear = affine[:3, :3]
    lengths = np.linalg.norm(linear, axis=0)
    if not np.isfinite(affine).all() or lengths.min() < 1e-6 or lengths.max() > 1e4 or np.abs(affine).max() > 1e6:
        raise damaged(path, "what it says of its voxels' size and place makes no sense")
    cosines = np.abs(linear.T @ linear / np.outer(lengths, lengths) - np.eye(3)).max()
    if cosines > _SHEAR:
        angle = math.degrees(math.acos(min(1.0, cosines)))
        raise UserError(
            f"{path.name} has axes that aren't at right angles (two of them meet at {angle:.2f}°).",
            "Resample it first.",
        )
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def scaled(raw: NDArray[np.generic], slope: float, intercept: float) -> NDArray[np.generic]:
    """Value times slope plus intercept: whole numbers where all three are whole, else float32."""
    if slope == 1 and intercept == 0:
        return raw
    if raw.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        ends = [int(v) * int(slope) + int(intercept) for v in (raw.min(), raw.max())]
        for kind in (np.int16, np.int32, np.int64):
            if np.iinfo(kind).min <= min(ends) and max(ends) <= np.iinfo(kind).max:
                return _by_slices(raw, kind, lambda part: part.astype(np.int64) * int(slope) + int(intercept))
    return _by_slices(raw, np.float32, lambda part: part.astype(np.float64) * slope + intercept)


def _by_slices(
    raw: NDArray[np.generic],
    kind: type[np.generic],
    change: Callable[[NDArray[np.generic]], NDArray[np.generic]],
) -> NDArray[np.generic]:
    """Apply `change` slice by slice, so that wide numbers are never held for the whole volume."""
    out = np.empty(raw.shape, kind)
    for k in range(len(raw)):
        out[k] = change(raw[k])
    return out
