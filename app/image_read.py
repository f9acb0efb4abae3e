"""NIfTI and NRRD files to a `Case`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contourdesk.app import nifti_read, nrrd_read
from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.raw_image import RawImage
from contourdesk.app.volume import Volume

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".hdr", ".hdr.gz")
_AIR_HU = -300  # every CT of a patient has air in it somewhere
_OUTSIDE_HU = -1024
_FEW = 256  # a whole-number image with fewer values than this and none below zero is hardly a CT


def is_image_file(path: Path) -> bool:
    """Whether the name is one of a NIfTI or NRRD file."""
    name = path.name.lower()
    # Many DICOM files are called .img too.
    return name.endswith(SUFFIXES) or (name.endswith(".img") and path.with_suffix(".hdr").is_file())


def case_name(path: Path) -> str:
    """The file's name without suffix, and without nnU-Net's channel number ``_0000``."""
    name = path.name
    for suffix in sorted((*SUFFIXES, ".img"), key=len, reverse=True):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return name.removesuffix("_0000")


def read_image_file(path: Path) -> Case:
    """Read a 3D NIfTI or NRRD image as it is stored, with its affine in LPS mm.

    Values come out as the file means them, scale applied. Voxels that are no number count as air, and a note says so.

    Raises
    ------
    UserError : unreadable, not 3D, a colour image, without a place in space, sheared, or a segmentation.
    """
    raw = _read(path)
    array, notes = _finite(raw.array, path)
    is_ct = float(array.min()) <= _AIR_HU
    if not is_ct:
        notes.append(_no_ct(array))
    grid = Grid(raw.grid.shape, raw.grid.affine)
    source = Source(
        path=path,
        series_uid=f"file-{_sha256(path)}",
        modality="CT" if is_ct else "",
        description=case_name(path),
        notes=(*raw.notes, *notes),
    )
    return Case(Patient(name=case_name(path)), Volume(grid, array, "HU" if is_ct else ""), source)


def _read(path: Path) -> RawImage:
    if not nrrd_read.is_nrrd(path) and not path.name.lower().endswith(nrrd_read.SUFFIXES):
        return nifti_read.read_nifti(path)
    header = nrrd_read.read_header(path)
    if any(key.startswith("Segment0_") for key in header.keys):
        raise UserError(
            f"{path.name} holds structures, not an image.", "Open the image that they were drawn on, then import them."
        )
    header, array = nrrd_read.read_nrrd(path)
    return nrrd_read.nrrd_image(header, array, path)


def _finite(array: NDArray[np.generic], path: Path) -> tuple[NDArray[np.generic], list[str]]:
    """Numbers of 32 bits at most, whole ones of 16 where they fit, and no NaN or infinity among them."""
    if array.dtype.kind in "iu":
        if array.dtype.itemsize > 2 and int(array.min()) >= -(1 << 15) and int(array.max()) < 1 << 15:
            array = array.astype(np.int16)
        elif array.dtype.itemsize > 4:
            array = array.astype(np.float32)
        return array, []
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):  # too big for 32 bits: infinite, met below
            array = array.astype(np.float32)
    good = np.isfinite(array)
    if good.all():
        return array, []
    missing = good.size - int(np.count_nonzero(good))
    if missing == good.size:
        raise UserError(f"{path.name} has no voxel with a number in it.", "Export it again.")
    lowest = float(array.min(where=good, initial=np.inf))
    air = min(lowest, _OUTSIDE_HU) if lowest <= _AIR_HU else lowest
    array = np.where(good, array, np.float32(air))
    return array, [f"{missing} voxels hold no number; they count as {air:g}."]


def looks_like_labels(array: NDArray[np.generic]) -> bool:
    """Whether an array looks like a label map: few whole numbers, none below zero."""
    return array.dtype.kind in "iu" and int(array.min()) >= 0 and int(array.max()) < _FEW


def _no_ct(array: NDArray[np.generic]) -> str:
    if looks_like_labels(array):
        return "The values look like labels of structures, not like a CT in HU; segmentation may be wrong."
    return "The values don't look like a CT in HU (there is no air); segmentation may be wrong."


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
