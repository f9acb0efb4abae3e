"""DICOMDIR: written by dcmtk and by pydicom, on CDs whose file names were changed, with files missing."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dicom_steps import error_of, only, series_of
from phantoms import CtPhantom, make_ct
from pydicom.fileset import FileSet

from contourdesk.app.dicom_read import read_series
from contourdesk.app.jobs import run


def disc(folder: Path, maker: str, count: int = 8) -> tuple[CtPhantom, Path]:
    """A CT with names as a disc must have them, and its DICOMDIR."""
    ct = make_ct(folder / "CT", (count, 20, 24), file_name=lambda k: f"IM{k:04d}")
    if maker == "pydicom":
        written = FileSet()
        for path in ct.files:
            written.add(path)
        written.write(folder / "disc")
        written._stage["t"].cleanup()
        shutil.rmtree(folder / "CT")
        return ct, folder / "disc" / "DICOMDIR"
    if shutil.which("dcmmkdir") is None:
        pytest.skip("dcmmkdir is not installed")
    names = [f"CT/{path.name}" for path in ct.files]
    subprocess.run(["dcmmkdir", "+D", "DICOMDIR", "-Pgp", *names], cwd=folder, check=True, timeout=60)
    return ct, folder / "DICOMDIR"


@pytest.mark.parametrize("maker", ["dcmtk", "pydicom"])
def test_the_file_and_its_folder(tmp_path: Path, maker: str) -> None:
    ct, path = disc(tmp_path, maker)
    for place in (path, path.parent):
        info = only(place)
        assert info.slices == 8 and info.usable and not info.notes
        assert np.array_equal(run(read_series(info)).volume.array, ct.hu)


def test_the_file_opens_what_it_lists_and_the_folder_all(tmp_path: Path) -> None:
    ct, path = disc(tmp_path, "dcmtk")
    other = make_ct(tmp_path / "more", (3, 8, 8))
    assert [s.uid for s in series_of(path)] == [ct.series_uid]
    assert {s.uid for s in series_of(tmp_path)} == {ct.series_uid, other.series_uid}


def test_under_another_name(tmp_path: Path) -> None:
    ct, path = disc(tmp_path, "dcmtk")
    path.rename(tmp_path / "dicomdir.bak")
    assert only(tmp_path / "dicomdir.bak").uid == ct.series_uid


def test_names_as_systems_show_them(tmp_path: Path) -> None:
    """Small letters and version numbers, as ISO 9660 discs are mounted."""
    ct, path = disc(tmp_path, "dcmtk")
    for file in ct.files:
        file.rename(file.with_name(file.name.lower() + ".;1"))
    (tmp_path / "CT").rename(tmp_path / "ct")
    info = only(path)
    assert info.slices == 8 and np.array_equal(run(read_series(info)).volume.array, ct.hu)


def test_missing_files_are_told_of(tmp_path: Path) -> None:
    """Without the last slices there is no gap to see; only the DICOMDIR knows of them."""
    ct, path = disc(tmp_path, "dcmtk")
    ct.files[7].unlink()
    for place in (path, tmp_path):
        info = only(place)
        assert info.usable and info.slices == 7
        assert "The DICOMDIR lists 1 file that isn't there: CT/IM0007." in info.notes
    ct.files[6].unlink()
    assert "2 files that aren't there: CT/IM0006, CT/IM0007" in only(path).notes[0]
    for file in ct.files[:6]:
        file.unlink()
    assert "None of the files that DICOMDIR lists is there" in error_of(path)


def test_in_an_archive(tmp_path: Path) -> None:
    ct, path = disc(tmp_path, "dcmtk")
    with zipfile.ZipFile(tmp_path / "disc.zip", "w") as out:
        out.write(path, "disc/DICOMDIR")
        for file in ct.files[:7]:
            out.write(file, f"disc/CT/{file.name}")
    info = only(tmp_path / "disc.zip")
    assert info.slices == 7 and "1 file that isn't there: CT/IM0007" in info.notes[0]
    assert np.array_equal(run(read_series(info)).volume.array, ct.hu[:7])


def test_damaged(tmp_path: Path) -> None:
    ct, path = disc(tmp_path, "dcmtk")
    path.write_bytes(path.read_bytes()[:900])
    assert "DICOMDIR can't be read" in error_of(path)
    info = only(tmp_path)  # the folder is still good, and tells
    assert info.usable and "DICOMDIR can't be read" in info.notes[0]
    assert np.array_equal(run(read_series(info)).volume.array, ct.hu)
