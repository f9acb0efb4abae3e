"""Datasets that grow: one program at a time, killed exports, partly reviewed cases, overlaps, splits, manifest."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hands import load, structure
from phantoms import CtPhantom

from contourdesk.app.case import Case
from contourdesk.app.dataset import ExportReport, export_case
from contourdesk.app.dataset_commit import DatasetLock, mend
from contourdesk.app.dataset_index import DatasetIndex
from contourdesk.app.dataset_manifest import fold_of, splits_json
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.structures import Decision, Mask, Structure

MakeCt = Callable[..., CtPhantom]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def case(make_ct: MakeCt, tmp_path: Path) -> Case:
    return load(make_ct(tmp_path / "ct", spacing_mm=(2.5, 1.3, 0.9)))


def ball(case: Case, at: Sequence[float], radius: float) -> np.ndarray:
    index = np.indices(case.volume.grid.shape)
    return ((index - np.array(at).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) <= radius**2


def export(case: Case, structures: Sequence[Structure], folder: Path, **more: object) -> ExportReport:
    return run(export_case(case, structures, folder, **more))


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def text(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text("utf-8"))


# -- partly reviewed ---------------------------------------------------------------------------------------------


def test_an_organ_that_nobody_accepted_is_unknown_and_not_background(case: Case, tmp_path: Path) -> None:
    stem, heart = structure("Brainstem", ball(case, (5, 20, 20), 4)), structure("Heart", ball(case, (4, 60, 30), 3))
    report = export(case, [stem, replace(heart, decision=Decision())], tmp_path / "ds", labels=["Brainstem", "Heart"])
    assert report.unknown == ("Heart",)
    assert any("Unknown in this case, not background: Heart" in note for note in report.notes)
    assert text(tmp_path / "ds", "contoured.json")[report.name]["contoured"] == ["Brainstem"]
    assert text(tmp_path / "ds", "manifest.json")["cases"][report.name]["unknown"] == ["Heart"]


def test_the_ignore_label_covers_what_may_be_an_unknown_organ(case: Case, make_ct: MakeCt, tmp_path: Path) -> None:
    stem, heart = structure("Brainstem", ball(case, (5, 20, 20), 4)), structure("Heart", ball(case, (4, 60, 30), 3))
    folder, labels = tmp_path / "ds", ["Brainstem", "Heart"]
    part = export(case, [stem], folder, labels=labels, ignore=True)
    array = read(part.label)
    assert text(folder, "dataset.json")["labels"] == {"background": 0, "Brainstem": 1, "Heart": 2, "ignore": 3}
    assert np.array_equal(array == 1, stem.mask.dense(array.shape))
    assert np.array_equal(array == 3, ~stem.mask.dense(array.shape))
    assert part.ignored == int((array == 3).sum())
    other = load(make_ct(tmp_path / "b", spacing_mm=(2.5, 1.3, 0.9), patient_id="B"))
    whole = export(other, [stem, heart], folder)
    assert set(np.unique(read(whole.label))) == {0, 1, 2}
    with pytest.raises(UserError, match="ignore label"):
        export(other, [stem, structure("Larynx", ball(case, (2, 60, 30), 2))], folder)
    training_data = pytest.importorskip("contourdesk.inference.training_data")
    raw = training_data.RawDataset.open(folder)
    assert raw.labels == {"Brainstem": 1, "Heart": 2}
    assert set(np.unique(raw.read(part.name)[1])) == {0, 1}


# -- sides and names ---------------------------------------------------------------------------------------------


def test_left_that_lies_on_the_right_is_refused(case: Case, tmp_path: Path) -> None:
    swapped = [
        structure("Parotid_L", ball(case, (4, 40, 20), 3)),
        structure("Parotid_R", ball(case, (4, 40, 45), 3)),
        structure("Brainstem", ball(case, (5, 20, 30), 4)),
    ]
    report = export(case, swapped, tmp_path / "ds")
    assert list(report.labels) == ["Brainstem"]
    assert "lies to the right of" in report.left_out["Parotid_L"]
    with pytest.raises(UserError, match="lies to the right of"):
        export(case, swapped[:2], tmp_path / "other")


def test_names_are_mapped_once(case: Case, make_ct: MakeCt, tmp_path: Path) -> None:
    folder = tmp_path / "ds"
    export(case, [structure("Hirnstamm neu", ball(case, (5, 20, 20), 4))], folder, names={"Hirnstamm neu": "Brainstem"})
    other = load(make_ct(tmp_path / "b", spacing_mm=(2.5, 1.3, 0.9), patient_id="B"))
    report = export(other, [structure("Hirnstamm neu", ball(case, (5, 20, 20), 3))], folder)
    assert report.labels == {"Brainstem": 1}
    assert text(folder, "manifest.json")["names"] == {"Hirnstamm neu": "Brainstem"}
    with pytest.raises(UserError, match="already"):
        export(other, [structure("Heart", ball(case, (5, 20, 20), 3))], folder, names={"Hirnstamm neu": "Heart"})
    with pytest.raises(UserError, match="two sides"):
        export(other, [structure("Heart", ball(case, (5, 20, 20), 3))], folder, names={"Ohr links": "Ear_R"})


def test_a_name_that_tells_who_it_is(make_ct: MakeCt, tmp_path: Path) -> None:
    case = load(make_ct(tmp_path / "c", patient="Meier^Zacharias"))
    with pytest.raises(UserError, match="tells who"):
        export(case, [structure("GTV Zacharias", ball(case, (5, 20, 20), 4))], tmp_path / "ds")
    assert not (tmp_path / "ds").exists()


# -- overlaps ----------------------------------------------------------------------------------------------------


def test_regions_where_one_lies_in_the_other(case: Case, make_ct: MakeCt, tmp_path: Path) -> None:
    folder = tmp_path / "Dataset502_Regions"
    big, small = structure("PTV", ball(case, (5, 30, 30), 5)), structure("GTV", ball(case, (5, 30, 30), 2))
    stem = structure("Brainstem", ball(case, (5, 60, 30), 3))
    report = export(case, [small, big, stem], folder, overlaps="regions")
    info, array = text(folder, "dataset.json"), read(report.label)
    for s in (big, small, stem):
        values = info["labels"][s.name]
        assert np.array_equal(np.isin(array, values), s.mask.dense(array.shape)), s.name
    assert not report.lost_voxels
    names = [n for n in info["labels"] if n != "background"]
    assert names.index("PTV") < names.index("GTV"), "nnU-Net writes what comes later over what came before"
    assert info["regions_class_order"] == [report.labels[n] for n in names]
    handling = pytest.importorskip("nnunetv2.utilities.label_handling.label_handling")
    manager = handling.LabelManager(info["labels"], regions_class_order=info["regions_class_order"])
    assert manager.has_regions and len(manager.foreground_regions) == 3
    other = load(make_ct(tmp_path / "b", spacing_mm=(2.5, 1.3, 0.9), patient_id="B"))
    across = structure("GTV", ball(case, (5, 30, 36), 2))
    with pytest.raises(UserError, match="neither lies in the other"):
        export(other, [big, across], folder)
    apart = structure("GTV", ball(case, (5, 60, 50), 2))
    with pytest.raises(UserError, match="otherwise in the cases before"):
        export(other, [big, apart], folder)
    training_data = pytest.importorskip("contourdesk.inference.training_data")
    with pytest.raises(UserError, match="can't use"):
        training_data.RawDataset.open(folder)


def test_one_mask_for_each(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "ds"
    one, other = structure("PTV", ball(case, (5, 30, 30), 4)), structure("Heart", ball(case, (5, 30, 33), 4))
    report = export(case, [one, other], folder, overlaps="masks")
    for s in (one, other):
        assert np.array_equal(read(report.label / f"{s.name}.nii.gz") > 0, s.mask.dense(case.volume.grid.shape))
    listed = text(folder, "datalist.json")["training"][0]
    assert listed["label"] == [f"masksTr/{report.name}/PTV.nii.gz", f"masksTr/{report.name}/Heart.nii.gz"]
    assert all((folder / place).is_file() for place in [listed["image"], *listed["label"]])
    export(case, [one], folder)
    assert not (report.label / "Heart.nii.gz").exists(), "what isn't accepted any more goes"
    with pytest.raises(UserError, match='keep overlaps as "masks"'):
        export(case, [one], folder, overlaps="smaller")


# -- splits and manifest -----------------------------------------------------------------------------------------


def index_of(patients: dict[str, str]) -> DatasetIndex:
    index = DatasetIndex(Path("ds"))
    for name, patient in patients.items():
        index = index.with_case(name, ["a"])
        index = replace(index, cases={**index.cases, name: {"patient": patient, "fold": fold_of(patient)}})
    return index


def test_splits_are_by_patient_and_stay(tmp_path: Path) -> None:
    patients = {f"p{n}_{k}": f"p{n}" for n in range(25) for k in range(1 + n % 3)}
    splits = json.loads(splits_json(index_of(patients)))
    assert len(splits) == 5
    held = [{patients[c] for c in s["val"]} for s in splits]
    for s, out in zip(splits, held, strict=True):
        assert out and not out & {patients[c] for c in s["train"]}
        assert sorted(s["train"] + s["val"]) == sorted(patients)
    assert sorted(p for out in held for p in out) == sorted({*patients.values()})
    more = json.loads(splits_json(index_of({**patients, "new": "p99"})))
    assert [set(m["val"]) - {"new"} for m in more] == [set(s["val"]) for s in splits]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_patients_leave_no_fold_empty(count: int) -> None:
    splits = json.loads(splits_json(index_of({f"c{n}": f"p{n}" for n in range(count)})))
    assert len(splits) == 5
    assert all(s["train"] and s["val"] for s in splits)
    assert count == 1 or not any(set(s["train"]) & set(s["val"]) for s in splits)


def test_the_manifest_tells_where_a_case_came_from(case: Case, tmp_path: Path) -> None:
    bits = ball(case, (5, 20, 20), 4)
    first = Mask.from_dense(ball(case, (5, 20, 21), 4))
    edited = replace(structure("Brainstem", bits), first=first, edited=True)
    report = export(case, [edited, structure("Heart", ball(case, (5, 60, 30), 3))], tmp_path / "ds")
    entry = text(tmp_path / "ds", "manifest.json")["cases"][report.name]
    for place, digest in entry["files"].items():
        assert hashlib.sha256((tmp_path / "ds" / place).read_bytes()).hexdigest() == digest
    stem = entry["structures"]["Brainstem"]
    assert stem["model"] == "headneck" and stem["weights_sha256"] == "ab" * 32
    assert stem["reviewer"].startswith("R_") and "ller" not in json.dumps(entry)
    assert 0 < stem["change"]["dice"] < 1 and stem["change"]["slices_touched"] > 0
    assert entry["structures"]["Heart"]["change"] == {"unchanged": True}
    assert entry["patient"] == report.name.rpartition("_")[0] and entry["software"].startswith("contourdesk")


# -- two programs, killed programs -------------------------------------------------------------------------------

_CHILD = """
import os, sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
import numpy as np
from hands import load, structure
from phantoms import make_ct
from contourdesk.app import dataset_commit
from contourdesk.app.dataset import export_case
from contourdesk.app.jobs import run
root, name, kill_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
case = load(make_ct(root / ("ct" + name), patient_id=name, series_uid="1.2.3." + name, study_uid="1.2.4." + name))
bits = np.zeros(case.volume.grid.shape, bool)
bits[3:6, 20:30, 20:30] = True
moves, move = [0], os.replace
def counted(old, new):
    moves[0] += 1
    if moves[0] == kill_at:
        os.kill(os.getpid(), 9)
    move(old, new)
dataset_commit.os.replace = counted
run(export_case(case, [structure("Organ " + name, bits)], root / "ds"))
print("done", moves[0])
"""


def child(root: Path, name: str, kill_at: int = 0) -> subprocess.Popen[str]:
    code = _CHILD.format(tests=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root), name, str(kill_at)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(900)
def test_two_programs_at_once_lose_no_case(tmp_path: Path) -> None:
    both = [child(tmp_path, "7"), child(tmp_path, "8")]
    for process in both:
        _, errors = process.communicate(timeout=800)
        assert process.returncode == 0, errors
    contoured, info = text(tmp_path / "ds", "contoured.json"), text(tmp_path / "ds", "dataset.json")
    assert len(contoured) == info["numTraining"] == len(list((tmp_path / "ds" / "imagesTr").iterdir())) == 2
    assert sorted(info["labels"].values()) == [0, 1, 2]
    assert {o for entry in contoured.values() for o in entry["contoured"]} == {"Organ 7", "Organ 8"}
    assert not list((tmp_path / "ds").glob(".*"))


def test_a_second_export_waits_no_longer_than_it_should(tmp_path: Path) -> None:
    first = DatasetLock(tmp_path)
    run(first.take())
    second = DatasetLock(tmp_path)
    with pytest.raises(UserError, match="Another export"):
        run(second.take(0))
    first.release()
    run(second.take(0))
    second.release()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
@pytest.mark.timeout(900)
def test_a_killed_export_leaves_the_old_state(case: Case, tmp_path: Path) -> None:
    """Killed at each move of the commit in turn: what the next one finds is the old state, to the byte."""
    folder = tmp_path / "ds"
    export(case, [structure("Brainstem", ball(case, (5, 20, 20), 4))], folder)
    before = tree(folder)
    # 1: the plan is written; 2 to 8: the image, the labels and the five text files are moved.
    for kill_at in (1, 2, 5, 8):
        process = child(tmp_path, "9", kill_at)
        _, errors = process.communicate(timeout=800)
        assert process.returncode == -signal.SIGKILL, errors
        assert list(folder.glob(".export-*"))
        mend(folder)
        lock = DatasetLock(folder)
        run(lock.take(0))
        lock.release()
        assert tree(folder) == before, f"killed at move {kill_at}"
    process = child(tmp_path, "9")
    out, errors = process.communicate(timeout=800)
    assert process.returncode == 0, errors
    assert out.split() == ["done", "8"]
    assert text(folder, "dataset.json")["numTraining"] == 2
