"""Structure sets of other programs: rt-utils' odd references, a clinical set, and plastimatch's own masks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hands import fill, load, read_contours
from phantoms import CtPhantom, Roi, make_ct, make_rtstruct
from pydicom import dcmread

from contourdesk.app.case import Case
from contourdesk.app.cli import main
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.dicom_write import write_rtstruct
from contourdesk.app.jobs import run
from contourdesk.app.references import OtherImages
from contourdesk.app.rtstruct_read import read_rtstruct, read_rtstruct_with_notes


@pytest.fixture
def mock(shared_data: Path) -> tuple[Path, Case]:
    folder = shared_data / "rtstruct" / "rt_utils" / "mock_data"
    return folder, run(read_series(run(scan(folder))[0]))


def test_a_frame_of_reference_of_its_own_is_asked_about(mock: tuple[Path, Case]) -> None:
    folder, case = mock
    with pytest.raises(OtherImages, match="its frame of reference is another") as caught:
        read_rtstruct(folder / "rt.dcm", case)
    assert caught.value.reasons == ("its frame of reference is another",)
    structures, notes = read_rtstruct_with_notes(folder / "rt.dcm", case, any_reference=True)
    assert structures and all(s.provenance.remark for s in structures) and any("Taken over" in n for n in notes)


@pytest.mark.parametrize("name", ["invalid_reference_rt.dcm", "non_existent_reference_rt.dcm"])
def test_references_to_images_that_are_not_there(mock: tuple[Path, Case], name: str) -> None:
    # The frame of reference and some of the images are right; contours on the others are kept where they lie.
    folder, case = mock
    structures, _ = read_rtstruct_with_notes(folder / name, case)
    contours = [c for s in structures for c in s.contours or ()]
    assert len(contours) == sum(len(o.get("ContourSequence") or ()) for o in dcmread(folder / name).ROIContourSequence)
    for structure in structures:
        grid = case.volume.grid
        near = [c.points_lps for c in structure.contours or ()
                if np.abs(grid.to_index(c.points_lps)[:, 0] - np.rint(grid.to_index(c.points_lps)[:, 0])).max() < 1e-3
                and 0 <= round(float(grid.to_index(c.points_lps)[0, 0])) < grid.shape[0]]  # fmt: skip
        expected = fill(near, grid.affine, grid.shape, union=False)
        found = structure.mask.dense(grid.shape)
        # `hands.fill` looks a hair beside the centres: only those on an outline may differ.
        assert np.count_nonzero(found ^ expected) <= 0.01 * np.count_nonzero(expected)


def test_the_command_line_asks_for_the_word(mock: tuple[Path, Case], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = mock
    command = ["check", str(folder), "--structures", str(folder / "rt.dcm")]
    assert main(command) == 2
    assert "--accept-other-references" in capsys.readouterr().err
    assert main([*command, "--accept-other-references"]) == 0
    said = capsys.readouterr()
    assert "Taken over against its references" in said.err and "fit the images" in said.out


def test_a_clinical_set_comes_back_point_for_point(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "rtstruct" / "dicompyler"
    case = run(read_series(run(scan(folder))[0]))
    before = read_contours(folder / "rtss.dcm")
    out = write_rtstruct(case, case.structures.items, tmp_path / "out.dcm")
    after = read_contours(out)
    assert list(after) == [s.name for s in case.structures]
    for name, contours in before.items():
        assert [p.tolist() for p in after[name]] == [p.tolist() for p in contours]


def _rings(ct: CtPhantom, ragged: Callable[[int], float]) -> list[tuple[str, np.ndarray, str]]:
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    out = []
    for k in range(2, 8):
        for radius in (14.3, 8.1):
            size = radius + ragged(k)
            index = [np.full(90, k), 40.2 + size * np.sin(turn), 31.7 + size * np.cos(turn), np.ones(90)]
            out.append(("CLOSED_PLANAR", (np.column_stack(index) @ ct.affine.T)[:, :3], ct.image_uids[k]))
    return out


@pytest.mark.skipif(shutil.which("plastimatch") is None, reason="plastimatch isn't installed")
def test_plastimatch_sees_the_same_ring(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct")
    path = make_rtstruct(tmp_path / "rs.dcm", ct, [Roi("Ring", _rings(ct, lambda k: k / 3))])
    command = ["--input", path, "--referenced-ct", ct.folder, "--output-prefix", tmp_path / "pm"]
    # Without this plastimatch fills holes that are inner loops.
    arguments = [str(a) for a in (*command, "--prefix-format", "nii.gz", "--xor-contours")]
    subprocess.run(["plastimatch", "convert", *arguments], capture_output=True, check=True)
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "pm" / "Ring.nii.gz"))) > 0
    (ring,) = read_rtstruct(path, load(ct))
    ours = ring.mask.dense(ct.hu.shape)
    dice = 2 * np.count_nonzero(ours & theirs) / (np.count_nonzero(ours) + np.count_nonzero(theirs))
    assert dice >= 0.995 and ours.sum() > 2000
