"""``contourdesk check`` and ``export`` with planning systems, on a review as the window saves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hands import load
from phantoms import CtPhantom
from pydicom import dcmread

from contourdesk.app.cli import main
from contourdesk.app.jobs import run
from contourdesk.app.project import save
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask

MakeCt = Callable[..., CtPhantom]


@pytest.fixture
def review(make_ct: MakeCt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    session = ReviewSession(load(make_ct(tmp_path / "ct")), reviewer="Eva Müller")
    z, y, x = np.indices(session.case.volume.grid.shape)
    away = np.hypot(y - 30, x - 25)
    ring = Mask.from_dense((away < 12) & (away > 7) & (z > 1) & (z < 8))
    for name in ("Lens_L", "Nodal volume of the neck right"):
        session.decide(session.add(name, mask=ring), "accepted")
    run(save(session.snapshot(), tmp_path / "review"))
    return tmp_path / "review"


def test_a_review_is_checked_before_export(review: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted((p.name, p.stat().st_mtime_ns) for p in review.iterdir())
    assert main(["check", str(review)]) == 0
    assert "review with 2 structures to export, nothing wrong" in capsys.readouterr().out
    assert main(["check", str(review), "--profile", "all"]) == 0
    out = capsys.readouterr().out
    assert 'Varian Eclipse: "Nodal volume of the neck right" will be called' in out and "Pinnacle" in out
    assert main(["check", str(review), "--profile", "ecplise"]) == 2
    assert "no planning system" in "".join(capsys.readouterr())
    assert sorted((p.name, p.stat().st_mtime_ns) for p in review.iterdir()) == before


def test_export_for_a_planning_system(review: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("one", "two"):
        options = ["--profile", "eclipse", "--contours", "smooth", "--holes", "inner"]
        assert main(["export", str(review), "--out", str(tmp_path / folder), *options]) == 0
    assert "will be called" in "".join(capsys.readouterr())
    path = tmp_path / "one" / "rtstruct.dcm"
    assert path.read_bytes() == (tmp_path / "two" / "rtstruct.dcm").read_bytes()
    ds = dcmread(path)
    assert (ds.ApprovalStatus, str(ds.ReviewerName)) == ("APPROVED", "Müller^Eva")
    assert ds.StructureSetROISequence[1].ROIDescription == "Nodal volume of the neck right"
    assert len(ds.ROIContourSequence[0].ContourSequence) == 2 * 6  # a ring is two loops on each of six slices
    assert main(["check", str(path), "--profile", "eclipse"]) == 0
    assert main(["export", str(review), "--out", str(tmp_path / "three")]) == 0
    assert len(dcmread(tmp_path / "three" / "rtstruct.dcm").ROIContourSequence[0].ContourSequence) == 6
    assert dcmread(tmp_path / "three" / "rtstruct.dcm").SOPInstanceUID != ds.SOPInstanceUID


def test_a_file_of_others_needs_no_images(
    make_ct: MakeCt, make_rtstruct: MakeCt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from phantoms import Roi

    ct = make_ct(tmp_path / "ct")
    triangle = np.array([[0.0, 0, -50], [5, 0, -50], [5, 5, -50]])
    roi = Roi("GlandSubmandibular_Left", [("CLOSED_PLANAR", triangle, ct.image_uids[0])])
    path = make_rtstruct(tmp_path / "rt.dcm", ct, [roi])
    for file in ct.files:
        file.unlink()
    assert main(["check", str(path), "--profile", "eclipse"]) == 2
    assert "is longer than 16 characters" in capsys.readouterr().out
