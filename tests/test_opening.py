"""Opening whatever the user points at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import Roi, make_ct, make_rtstruct, phantom_hu

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import SeriesInfo, read_series
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.opening import open_path


def series_of(path: Path) -> list[SeriesInfo]:
    found = run(open_path(path))
    assert isinstance(found, list)
    return found


def test_a_folder_and_a_file_in_it(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "a")
    other = make_ct(tmp_path / "b", (4, 8, 9))
    assert {s.uid for s in series_of(tmp_path)} == {ct.series_uid, other.series_uid}
    (info,) = series_of(ct.files[4])
    assert np.array_equal(run(read_series(info)).volume.array, ct.hu)


def test_a_file_brings_its_own_series_first(tmp_path: Path) -> None:
    make_ct(tmp_path, file_name=lambda k: f"big{k}")
    small = make_ct(tmp_path, (4, 8, 9), file_name=lambda k: f"small{k}")
    assert series_of(small.files[1])[0].uid == small.series_uid
    structures = make_rtstruct(tmp_path / "rs.dcm", small, [Roi("A")])
    assert series_of(structures)[0].uid == small.series_uid


def test_an_image_file(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(phantom_hu((4, 8, 9))), str(tmp_path / "a_0000.nii.gz"))
    case = run(open_path(tmp_path / "a_0000.nii.gz"))
    assert isinstance(case, Case) and case.source.description == "a" and case.volume.grid.shape == (4, 8, 9)


def test_what_can_not_be_opened(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    make_ct(tmp_path / "mr", modality="MR")
    ct = make_ct(tmp_path / "cut", (1, 8, 8))
    ct.files[0].write_bytes(ct.files[0].read_bytes()[:-20])
    for name, words in [
        ("nowhere", "There is no file or folder"),
        ("empty", "is empty"),
        ("text.txt", r"text\.txt isn't a medical image"),
        ("mr", "no CT"),
        ("cut", r"slice000\.dcm is cut short"),
        ("cut/slice000.dcm", r"slice000\.dcm is cut short"),
    ]:
        with pytest.raises(UserError, match=words) as caught:
            run(open_path(tmp_path / name))
        assert caught.value.what_to_do


def test_any_damage_ends_in_a_message(tmp_path: Path) -> None:
    ct = make_ct(tmp_path, (3, 8, 9))
    roi = Roi("A", [("CLOSED_PLANAR", ct.affine[:3, 3] + np.array([[0, 0, 0], [4, 0, 0], [4, 4, 0]]), "")])
    paths = [ct.files[0], ct.files[1], make_rtstruct(tmp_path / "rs.dcm", ct, [roi])]
    whole = {path: path.read_bytes() for path in paths}
    rng = np.random.default_rng(2)
    opened = refused = 0
    for n in range(60):
        path = paths[n % 3]
        data = bytearray(whole[path])
        at = int(rng.integers(132, len(data)))
        if n % 2:
            del data[at : at + int(rng.integers(1, 2000))]
        else:
            data[at] = int(rng.integers(256))
        path.write_bytes(data)
        try:
            run(read_series(series_of(tmp_path)[0]))
            opened += 1
        except UserError:
            refused += 1
        path.write_bytes(whole[path])
    assert opened > 5 and refused > 5
