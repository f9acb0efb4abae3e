"""Masks to NIfTI files, one for each structure, on the image's own grid; read back before they count as written."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.errors import UserError
from contourdesk.app.files import flush_folder
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Structure

if TYPE_CHECKING:  # SimpleITK takes 90 MB; it is imported where it is used
    import SimpleITK as sitk

SUFFIX = ".nii.gz"
TOLERANCE_MM = 0.01  # a NIfTI header holds 32-bit numbers
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def grid_to_sitk(array: NDArray[np.generic], grid: Grid) -> sitk.Image:
    """A SimpleITK image of an array (z, y, x) on a grid; it carries nothing else."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array)
    # SimpleITK counts axes the other way round: column, row, slice.
    image.SetSpacing([float(v) for v in grid.spacing_mm[::-1]])
    image.SetDirection([float(v) for v in grid.directions[:, ::-1].ravel()])
    image.SetOrigin([float(v) for v in grid.origin_lps])
    return image


def sitk_to_grid(image: sitk.Image) -> Grid:
    """Where a SimpleITK image's voxels lie."""
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, :3] = direction[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    x, y, z = image.GetSize()
    return Grid((z, y, x), affine)


def write_image(array: NDArray[np.generic], grid: Grid, path: Path) -> None:
    """Write one NIfTI file, and read it back.

    Raises
    ------
    UserError : it can't be written, or came out different; then the file is removed.
    """
    import SimpleITK as sitk

    try:
        sitk.WriteImage(grid_to_sitk(array, grid), str(path), useCompression=path.name.endswith(".gz"))
        back = sitk.ReadImage(str(path))
    except RuntimeError as error:
        path.unlink(missing_ok=True)
        raise UserError(
            f"{path.name} could not be written.", f"Check the space and permissions of {path.parent}."
        ) from error
    same = np.array_equal(sitk.GetArrayViewFromImage(back), array, equal_nan=array.dtype.kind == "f")
    if not same or not sitk_to_grid(back).is_close(grid, TOLERANCE_MM):
        path.unlink(missing_ok=True)
        raise UserError(
            f"{path.name} was not written: read back, it came out different.",
            "NIfTI may not be able to hold this image's axes; export an RTSTRUCT.",
        )


def write_masks(structures: Sequence[Structure], grid: Grid, folder: Path) -> list[Path]:
    """Write each structure as ``<name>.nii.gz``, uint8 with 0 and 1; files of those names are replaced.

    Returns
    -------
    The files, in the order of `structures`.

    Raises
    ------
    UserError : see `write_image`; the files that were there before are intact.
    """
    names = file_names([s.name for s in structures])
    paths = [folder / f"{name}{SUFFIX}" for name in names]
    beside = [folder / f".{os.getpid()}-{name}.part{SUFFIX}" for name in names]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for structure, path in zip(structures, beside, strict=True):
            write_image(structure.mask.dense(grid.shape).astype(np.uint8), grid, path)
        for part, path in zip(beside, paths, strict=True):
            os.replace(part, path)
        flush_folder(folder)
    except OSError as error:
        raise UserError(
            f"Masks could not be written in {folder} ({error.strerror}).", "Check its space and permissions."
        ) from error
    finally:
        for path in beside:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    return paths


def file_names(names: Sequence[str]) -> list[str]:
    """Names that every file system takes, all different also where case doesn't count; without dots."""
    taken: set[str] = set()
    out = []
    for name in names:
        stem = re.sub(r"[^\w+-]+", "_", name.strip()).strip("_")[:100] or "structure"
        stem = f"{stem}_" if stem.casefold() in _RESERVED else stem
        free, n = stem, 2
        while free.casefold() in taken:
            free, n = f"{stem}_{n}", n + 1
        taken.add(free.casefold())
        out.append(free)
    return out
