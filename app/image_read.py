"""NIfTI and NRRD files to a `Case`."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.volume import Volume

SUFFIXES = (".nii", ".nii.gz", ".nrrd")
_AIR_HU = -300  # every CT of a patient has air in it somewhere


def is_image_file(path: Path) -> bool:
    """Whether the name is one of a NIfTI or NRRD file."""
    return path.name.lower().endswith(SUFFIXES)


def case_name(path: Path) -> str:
    """The file's name without suffix, and without nnU-Net's channel number ``_0000``."""
    name = path.name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return name.removesuffix("_0000")


def read_image_file(path: Path) -> Case:
    """Read a 3D NIfTI or NRRD image as it is stored, with its affine in LPS mm.

    Raises
    ------
    UserError : unreadable, not 3D, or a colour image.
    """
    if not path.name.lower().endswith(".nrrd"):
        _check_complete(path)
    array, affine = _read(path)
    notes = []
    is_ct = float(array.min()) <= _AIR_HU
    if not is_ct:
        notes.append("The values don't look like a CT in HU (there is no air); segmentation may be wrong.")
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    grid = Grid((array.shape[0], array.shape[1], array.shape[2]), affine)
    source = Source(
        path=path,
        series_uid=f"file-{_sha256(path)}",
        modality="CT" if is_ct else "",
        description=case_name(path),
        notes=tuple(notes),
    )
    return Case(Patient(name=case_name(path)), Volume(grid, array, "HU" if is_ct else ""), source)


def _read(path: Path) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size, channels = reader.GetSize(), reader.GetNumberOfComponents()
        # A 3D image may be stored as 4D with one time point.
        if len(size) < 3 or any(n > 1 for n in size[3:]) or channels != 1:
            what = " × ".join(map(str, size)) + (f" with {channels} channels" if channels > 1 else "")
            raise UserError(f"{path.name} isn't a single 3D image: it is {what}.", "Choose a 3D image.")
        image = reader.Execute()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise UserError(f"{path.name} has axes that aren't at right angles.", "Resample it first.") from error
        raise _damaged(path) from error
    if image.GetDimension() == 4:
        image = image[:, :, :, 0]
    # SimpleITK: columns of the direction matrix belong to (x, y, z) = (column, row, slice) indices; LPS mm.
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3] = direction[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image), affine


def _damaged(path: Path) -> UserError:
    return UserError(
        f"{path.name} can't be read as an image; it may be damaged or cut short.", "Copy or export it again."
    )


def _check_complete(path: Path) -> None:
    """Raise when a NIfTI file is cut short or its compression damaged: SimpleITK would read what it can, silently."""
    try:
        chunks = _chunks(path)
        head = next(chunks, b"")
        there = len(head) + sum(len(c) for c in chunks)
        complete = there >= _nifti_length(head, path)
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise _damaged(path) from error
    if not complete:
        raise _damaged(path)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        while chunk := stream.read(1 << 20):
            yield chunk


def _nifti_length(head: bytes, path: Path) -> float:
    """Bytes that a NIfTI-1 file must have by its header; infinite when it isn't one."""
    for order in "<>":
        kind = struct.unpack_from(f"{order}i", head)[0]
        if kind == 540:
            raise UserError(f"{path.name} is a NIfTI-2 file, which can't be read.", "Save it as NIfTI-1 or NRRD.")
        if kind == 348:
            count, *dims = struct.unpack_from(f"{order}8h", head, 40)
            bits, offset = struct.unpack_from(f"{order}h", head, 72)[0], struct.unpack_from(f"{order}f", head, 108)[0]
            return float(offset + math.prod(max(1, n) for n in dims[: max(0, count)]) * bits // 8)
    return math.inf


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
