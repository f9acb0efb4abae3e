"""The sample case that ships: complete, valid, small, of no real person, and what the bundled model finds on it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.jobs import run

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "resources" / "sample"
MODEL = ROOT / "resources" / "models" / "headneck"
# Millilitres that each organ may have in a grown-up; wide, because contouring rules differ.
VOLUMES_ML = {
    "Brainstem": (18, 40),
    "SpinalCord": (8, 35),
    "Parotid_R": (14, 45),
    "Parotid_L": (14, 45),
    "Esophagus": (3, 35),
    "Larynx": (8, 60),
    "Bone_Mandible": (35, 95),
}


@pytest.fixture(scope="module")
def slices() -> list[pydicom.Dataset]:
    return [pydicom.dcmread(p) for p in sorted(SAMPLE.glob("*.dcm"))]


@pytest.fixture(scope="module")
def case() -> Case:
    found = run(scan(SAMPLE))
    assert len(found) == 1
    assert found[0].usable, found[0].problems
    return run(read_series(found[0]))


def test_is_small_and_says_what_it_is() -> None:
    assert sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file()) < 10_000_000
    assert "no real person" in (SAMPLE / "README.md").read_text(encoding="utf-8")


def test_series_is_complete(slices: list[pydicom.Dataset]) -> None:
    positions = np.array([s.ImagePositionPatient for s in slices], float)
    assert len(slices) == 110
    np.testing.assert_allclose(np.diff(positions[:, 2]), 2.5, atol=1e-6)
    assert np.ptp(positions[:, :2], axis=0).max() == 0
    assert len({s.SOPInstanceUID for s in slices}) == len(slices)
    for tag in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({s[tag].value for s in slices}) == 1


def test_names_no_person(slices: list[pydicom.Dataset]) -> None:
    for ds in slices:
        assert ds.PatientName == "SAMPLE^HEAD AND NECK"
        assert ds.PatientID == "CONTOURDESK-SAMPLE"
        assert not ds.PatientBirthDate
        assert not ds.ReferringPhysicianName
        assert not [e for e in ds if e.tag.is_private]


def test_no_error_for_dciodvfy() -> None:
    tool = shutil.which("dciodvfy")
    if tool is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    for path in sorted(SAMPLE.glob("*.dcm"))[::20]:
        done = subprocess.run([tool, str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")]
        assert not errors, f"{path.name}: {errors}"


def test_opens_as_one_head_first_ct(case: Case) -> None:
    assert case.volume.grid.shape == (110, 256, 256)
    np.testing.assert_allclose(case.volume.grid.spacing_mm, (2.5, 500 / 256, 500 / 256), atol=1e-6)
    assert case.volume.unit == "HU"
    assert case.volume.window == (40, 400)
    assert case.source.modality == "CT"


def test_looks_like_a_ct(case: Case) -> None:
    hu = np.asarray(case.volume.array, float)
    assert (hu[:, :8] == -1000).all()  # clean air in front
    assert hu.max() > 900  # bone
    body = hu > -300
    areas_cm2 = body.sum((1, 2)) * case.volume.grid.voxel_ml / 0.25
    assert areas_cm2[-10:].mean() < 0.7 * areas_cm2[:10].mean()  # head at the top, shoulders at the bottom
    soft = hu[(hu > -20) & (hu < 120)]
    assert 0 < np.median(soft) < 60


@pytest.mark.slow
def test_bundled_model_finds_every_organ(case: Case) -> None:
    if not (MODEL / "plans.json").is_file():
        pytest.skip("no bundled model yet")
    from contourdesk.inference.nnunet import load_model
    from contourdesk.inference.predict import predict

    found = {s.name: s for s in run(predict(case.volume, load_model(MODEL), device="cpu"))}
    grid = case.volume.grid
    assert set(found) == set(VOLUMES_ML)
    for name, (low, high) in VOLUMES_ML.items():
        assert low < found[name].volume_ml(grid) < high, f"{name}: {found[name].volume_ml(grid):.1f} ml"
    centre = {name: grid.to_world(np.argwhere(s.mask.bits).mean(0) + s.mask.offset) for name, s in found.items()}
    assert centre["Parotid_R"][0] < 0 < centre["Parotid_L"][0]
    assert centre["Brainstem"][2] > centre["Bone_Mandible"][2] > centre["Larynx"][2] > centre["Esophagus"][2]
    assert centre["Bone_Mandible"][1] < centre["Brainstem"][1]
