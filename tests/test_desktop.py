"""The desktop build (make package), started as a user without Python would: from another folder, on a bare path.

Nothing is built here, and since the tests take minutes they run when asked for:

    CONTOURDESK_BUILT=dist/contourdesk make test ARGS=tests/test_desktop.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

import contourdesk

BUILT = Path(os.environ.get("CONTOURDESK_BUILT", "no-build")).resolve()
PROGRAM = BUILT / ("contourdesk.exe" if os.name == "nt" else "contourdesk")
ORGANS = {"Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Esophagus", "Larynx", "Bone_Mandible"}
WALK = ["start", "open", "segment", "accept", "export"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not PROGRAM.is_file(), reason="CONTOURDESK_BUILT names no desktop build (make package)"),
]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


def start(folder: Path, *arguments: str | Path, code: int = 0) -> str:
    """Run the built program in `folder` with nothing of this environment but the display; its standard output."""
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("DISPLAY", "XAUTHORITY", "SYSTEMROOT") if name in os.environ}
    environment = kept | {"PATH": str(empty), "HOME": str(folder), "CONTOURDESK_HOME": str(folder / "home")}
    command = [str(PROGRAM), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def walked(elsewhere: Path) -> list[dict[str, str]]:
    """What the self-test said after it took the real window through the sample case."""
    if not os.environ.get("DISPLAY") and os.name == "posix":
        pytest.skip("there is no display")
    lines: list[dict[str, str]] = json.loads(start(elsewhere, "doctor", "--json", "--window", "window"))
    return lines


def test_says_its_version(elsewhere: Path) -> None:
    assert start(elsewhere, "--version").split() == ["contourdesk", contourdesk.__version__]


def test_self_test_finds_nothing_wrong(walked: list[dict[str, str]]) -> None:
    assert [line for line in walked if line["state"] == "fail"] == []
    program = next(line for line in walked if line["what"] == "Contourdesk")
    assert "desktop build" in program["found"] and str(PROGRAM) in program["found"]
    assert [line["what"] for line in walked if line["group"] == "Window"] == WALK


def test_window_segments_and_exports(walked: list[dict[str, str]], elsewhere: Path) -> None:
    exported = pydicom.dcmread(next((elsewhere / "window" / "export").rglob("RTSTRUCT*.dcm")))
    assert {roi.ROIName for roi in exported.StructureSetROISequence} == ORGANS
    assert all(len(roi.ContourSequence) > 5 for roi in exported.ROIContourSequence)
    for number, step in enumerate(WALK, 1):
        picture = np.asarray(Image.open(elsewhere / "window" / f"{number}-{step}.png").convert("RGB"))
        assert picture.shape[0] > 500 and picture.shape[1] > 800
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100, f"{step}: an empty window"


def test_command_line_does_all_its_work(walked: list[dict[str, str]], elsewhere: Path) -> None:
    """Check, batch in a process of its own, export, training and evaluation."""
    assert walked
    sample = next(BUILT.rglob("resources/sample"))
    assert "110 slices" in start(elsewhere, "check", sample)
    start(elsewhere, "batch", sample, "--out", "batch", "--no-mirroring", "--format", "rtstruct,seg,nrrd,nifti")
    written = {path.name for path in (elsewhere / "batch").rglob("*") if path.is_file()}
    assert {"rtstruct.dcm", "segmentation.dcm", "structures.seg.nrrd", "Larynx.nii.gz"} <= written
    review = next((elsewhere / "window" / "home" / "reviews").iterdir())
    start(elsewhere, "export", review, "--out", "out", "--format", "rtstruct,seg,nnunet,dicom-deidentified")
    start(elsewhere, "report", review, "--out", "out")
    assert (elsewhere / "out" / "report.pdf").read_bytes().startswith(b"%PDF")
    dataset = next((elsewhere / "out").rglob("imagesTr")).parent
    start(elsewhere, "train", dataset, "--out", "model", "--steps", "2", "--fold", "all")
    start(elsewhere, "evaluate", dataset, "--split", "Tr", "--model", "headneck", "--no-mirroring", "--out", "figures")
    assert "Larynx" in (elsewhere / "figures" / "report.html").read_text("utf-8")


def test_holds_licences_and_no_path_of_the_builder() -> None:
    inside = BUILT / "_internal"
    for name in ("torch", "napari", "numpy", "pydicom"):
        assert list(inside.glob(f"{name}-*.dist-info")), name
    root = str(Path(__file__).resolve().parents[1]).encode()
    for path in inside.rglob("*.dist-info/*"):
        assert not path.is_file() or root not in path.read_bytes(), path
    assert shutil.which("python", path=str(BUILT)) is None
