"""What the tests of reading CT share: opening, independent readers, compressing with outside tools."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import SeriesInfo, read_series
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.opening import open_path


def series_of(path: Path) -> list[SeriesInfo]:
    found = run(open_path(path))
    assert isinstance(found, list)
    return found


def only(path: Path) -> SeriesInfo:
    (info,) = series_of(path)
    return info


def load(path: Path) -> Case:
    return run(read_series(only(path)))


def error_of(path: Path) -> str:
    """What opening the first series at a path is refused with."""
    with pytest.raises(UserError) as caught:
        run(read_series(series_of(path)[0]))
    assert caught.value.what_to_do
    return str(caught.value)


def by_simpleitk(files: Sequence[Path]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(slice, row, column) values and the affine, by an independent reader given the files in order."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(f) for f in files])
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = (np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing())[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).astype(float), affine


def convert(tool: str, options: Sequence[str], files: Sequence[Path]) -> None:
    """Let one of dcmtk's tools rewrite files in place; the test is skipped, visibly, where it isn't installed."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    for path in files:
        out = path.with_name(path.name + ".out")
        subprocess.run([tool, *options, str(path), str(out)], check=True, capture_output=True, timeout=60)
        out.replace(path)


def encode(files: Sequence[Path], syntax: str, encoder: Callable[[NDArray[np.generic], Dataset], bytes]) -> None:
    """Put what `encoder` makes of each file's stored values in the place of its pixels."""
    for path in files:
        ds = pydicom.dcmread(path)
        ds.PixelData = encapsulate([encoder(ds.pixel_array, ds)])
        ds["PixelData"].is_undefined_length = True
        ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(path)


def syntax_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)


def stored_as(bits: int, stored: int, signed: bool, seed: int = 0) -> Callable[[Dataset, int], None]:
    """An `edit` for `make_ct` that fills the slices with noise over most of what `stored` bits can hold."""
    rng = np.random.default_rng(seed)

    def edit(ds: Dataset, k: int) -> None:
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, stored, stored - 1, int(signed)
        low = -(2 ** (stored - 1)) if signed else 0
        y, x = np.mgrid[0 : ds.Rows, 0 : ds.Columns]
        smooth = np.sin(y / 9 + k) * np.cos(x / 7) * 0.3 + 0.5 + rng.uniform(-0.05, 0.05, (ds.Rows, ds.Columns))
        values = np.round(low + smooth * (2**stored - 1)).astype(np.int64)
        ds.PixelData = values.astype(f"<{'i' if signed else 'u'}{bits // 8}").tobytes()
        ds.RescaleIntercept = "-1024" if stored < 16 else "0" if signed else "-32768"

    return edit
