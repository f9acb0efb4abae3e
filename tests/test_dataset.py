from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hands import load, structure
from phantoms import CtPhantom
from pydicom.dataset import Dataset

from contourdesk.app import dataset_commit
from contourdesk.app.case import Case
from contourdesk.app.dataset import ExportReport, export_case, flatten
from contourdesk.app.deidentify import KEY_FILE, case_name
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.structures import Decision, Structure

MakeCt = Callable[..., CtPhantom]
LEAK = "LEAKTEST"


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


def organs(case: Case) -> list[Structure]:
    return [
        structure("Brainstem", ball(case, (5, 20, 20), 4)),
        structure("RightParotid", ball(case, (4, 40, 20), 3)),
        structure("parotid left", ball(case, (4, 40, 40), 3)),
    ]


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def export(case: Case, structures: Sequence[Structure], folder: Path, **more: object) -> ExportReport:
    return run(export_case(case, structures, folder, **more))


def test_layout_and_content(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "Dataset501_Test"
    report = export(case, organs(case), folder)
    assert sorted(tree(folder)) == sorted(
        [
            *("contoured.json", "datalist.json", "dataset.json", "manifest.json", "splits_final.json"),
            *(f"imagesTr/{report.name}_0000.nii.gz", f"labelsTr/{report.name}.nii.gz"),
        ]
    )
    info = json.loads((folder / "dataset.json").read_text("utf-8"))
    assert info == {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "Brainstem": 1, "Parotid_R": 2, "Parotid_L": 3},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    contoured = json.loads((folder / "contoured.json").read_text("utf-8"))
    assert contoured == {report.name: {"split": "Tr", "contoured": ["Brainstem", "Parotid_R", "Parotid_L"]}}
    assert np.array_equal(read(report.image), case.volume.array)
    labels = read(report.label)
    for value, s in enumerate(organs(case), 1):
        assert np.array_equal(labels == value, s.mask.dense(case.volume.grid.shape))
    image = sitk.ReadImage(str(report.image))
    assert np.allclose(image.GetSpacing(), (0.9, 1.3, 2.5))
    assert np.allclose(image.GetOrigin(), case.volume.grid.origin_lps)


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "oblique"])
def test_nnunet_finds_the_dataset_sound(make_ct: MakeCt, tmp_path: Path, orientation: str) -> None:
    integrity = pytest.importorskip("nnunetv2.experiment_planning.verify_dataset_integrity")
    folder = tmp_path / "Dataset501_Test"
    for n in range(2):
        case = load(make_ct(tmp_path / f"ct{n}", spacing_mm=(2.5, 1.3, 0.9), orientation=orientation))
        export(case, organs(case)[n:], folder)
    integrity.verify_dataset_integrity(str(folder), num_processes=1)


def test_names_of_many_cases_agree_and_numbers_never_change(make_ct: MakeCt, tmp_path: Path) -> None:
    folder = tmp_path / "ds"
    a, b = load(make_ct(tmp_path / "a")), load(make_ct(tmp_path / "b"))
    export(a, [structure("RightParotid", ball(a, (5, 20, 20), 3))], folder)
    others = [
        structure("Lesion 1", ball(b, (2, 60, 20), 2)),
        structure("PAROTID_RT", ball(b, (5, 20, 20), 3)),
        structure("Parotis links", ball(b, (5, 20, 40), 3)),
    ]
    report = export(b, others, folder)
    assert report.labels == {"Parotid_R": 1, "Lesion 1": 2, "Parotid_L": 3}
    assert (read(report.label) == 1).sum() == others[1].mask.count
    info = json.loads((folder / "dataset.json").read_text("utf-8"))
    assert info["numTraining"] == 2
    assert list(info["labels"].values()) == [0, 1, 2, 3]


def test_labels_can_be_those_of_a_model(case: Case, tmp_path: Path) -> None:
    names = ["SpinalCord", "LeftParotid", "RightParotid"]
    report = export(case, organs(case), tmp_path / "ds", labels=names, name="Case-7")
    info = json.loads((tmp_path / "ds" / "dataset.json").read_text("utf-8"))
    assert info["labels"] == {"background": 0, "SpinalCord": 1, "LeftParotid": 2, "RightParotid": 3, "Brainstem": 4}
    assert report.labels == {"LeftParotid": 2, "RightParotid": 3, "Brainstem": 4}
    assert report.image.name == "Case-7_0000.nii.gz"


def test_only_what_a_person_accepted_counts_as_known(case: Case, tmp_path: Path) -> None:
    first, second, third = organs(case)
    empty = structure("Heart", np.zeros(case.volume.grid.shape, bool))
    given = [
        first,
        replace(second, decision=Decision()),
        replace(third, decision=Decision("rejected")),
        empty,
    ]
    report = export(case, given, tmp_path / "ds")
    assert set(report.left_out) == {"RightParotid", "parotid left", "Heart"}
    assert set(np.unique(read(report.label))) == {0, 1}
    contoured = json.loads((tmp_path / "ds" / "contoured.json").read_text("utf-8"))
    assert contoured[report.name]["contoured"] == ["Brainstem"]
    everything = export(case, given, tmp_path / "all", only_accepted=False)
    assert list(everything.labels) == ["Brainstem", "Parotid_R"], "a rejected one never goes in"
    with pytest.raises(UserError, match="no structure to train on"):
        export(case, given[1:], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_overlaps_go_to_the_smaller_one_and_are_reported(case: Case, tmp_path: Path) -> None:
    big, small = structure("PTV", ball(case, (5, 30, 30), 4)), structure("GTV", ball(case, (5, 30, 31), 2))
    for order in ([big, small], [small, big]):
        report = export(case, order, tmp_path / "ds")
        labels = read(report.label)
        assert (labels == report.labels["GTV"]).sum() == small.mask.count
        inside = int((big.mask.dense(labels.shape) & small.mask.dense(labels.shape)).sum())
        assert report.lost_voxels == {"PTV": inside}
        assert any(f"PTV lost {inside} voxels" in note for note in report.notes)


def test_more_than_255_structures(case: Case) -> None:
    bits = np.zeros(case.volume.grid.shape, bool)
    bits[3, 3, 3] = True
    array, lost = flatten([(300, structure("Late", bits))], case.volume.grid)
    assert array[3, 3, 3] == 300 and not lost


def test_exporting_again_replaces(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "ds"
    export(case, organs(case), folder)
    before = tree(folder)
    again = export(case, organs(case), folder)
    assert again.replaced
    assert tree(folder) == before, "the same export gives the same bytes"
    fewer = export(case, organs(case)[:1], folder)
    contoured = json.loads((folder / "contoured.json").read_text("utf-8"))
    assert contoured[fewer.name]["contoured"] == ["Brainstem"]
    assert json.loads((folder / "dataset.json").read_text("utf-8"))["labels"]["Parotid_L"] == 3


def test_a_stopped_export_leaves_what_was_there(case: Case, make_ct: MakeCt, tmp_path: Path) -> None:
    folder = tmp_path / "ds"
    export(case, organs(case), folder)
    before = tree(folder)
    other = load(make_ct(tmp_path / "other"))
    for steps in range(1, 5):
        job = export_case(other, organs(other), folder)
        for _ in range(steps):
            next(job)
        job.close()
        assert tree(folder) == before
        job = export_case(other, organs(other), tmp_path / "new")
        for _ in range(steps):
            next(job)
        job.close()
        assert not (tmp_path / "new").exists()


def test_a_full_disk_at_the_last_file_leaves_what_was_there(
    case: Case, make_ct: MakeCt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ds"
    export(case, organs(case), folder)
    before = tree(folder)
    move = os.replace

    def fail(old: Path, new: Path) -> None:
        if Path(new).name == "dataset.json" and Path(old).name == "dataset.json":
            raise OSError(28, "No space left on device")
        move(old, new)

    monkeypatch.setattr(dataset_commit.os, "replace", fail)
    other = load(make_ct(tmp_path / "other"))
    with pytest.raises(UserError, match="No space left"):
        export(other, organs(other), folder)
    assert tree(folder) == before


def test_nothing_tells_who_it_is(make_ct: MakeCt, tmp_path: Path) -> None:
    def plant(ds: Dataset, _: int) -> None:
        ds.PatientName = f"{LEAK}^Name"
        ds.PatientID = ds.AccessionNumber = ds.StudyID = LEAK
        ds.StudyDescription = ds.SeriesDescription = ds.ImageComments = f"{LEAK} text"
        ds.private_block(0x0099, LEAK, create=True).add_new(1, "LO", LEAK)
        inner = Dataset()
        inner.PatientID = LEAK
        ds.OtherPatientIDsSequence = [inner]

    ct = make_ct(tmp_path / LEAK / "ct", edit=plant, file_name=lambda k: f"{LEAK}{k}.dcm")
    case = load(ct)
    given = [
        replace(s, decision=Decision("accepted", f"{LEAK} reviewer", "2026-11-25T09:10:11+00:00", f"{LEAK} comment"))
        for s in organs(case)
    ]
    folder = tmp_path / "ds"
    report = export(case, given, folder)
    secrets = [LEAK, ct.series_uid, ct.study_uid, ct.frame_of_reference_uid, *ct.image_uids, "20260102", str(tmp_path)]
    for name, data in tree(folder).items():
        everything = data + (gzip.decompress(data) if name.endswith(".gz") else b"")
        for secret in secrets:
            for encoding in ("utf-8", "utf-16-le"):
                assert secret.encode(encoding) not in everything, f"{secret} in {name}"
            assert secret not in name
    assert LEAK not in repr(report.notes) + report.name


def test_case_names_are_keyed_hashes(make_ct: MakeCt, tmp_path: Path, home: Path) -> None:
    cases = [load(make_ct(tmp_path / str(n), patient_id=who)) for n, who in enumerate(("A", "A", "B"))]
    one, two, three = (case_name(c) for c in cases)
    assert one == case_name(cases[0])
    assert len({one, two, three}) == 3
    assert one.split("_")[1] == two.split("_")[1] != three.split("_")[1], "one patient's cases can be told to be one's"
    assert (home / KEY_FILE).stat().st_mode & 0o077 == 0
    (home / KEY_FILE).unlink()
    assert case_name(cases[0]) != one, "without the key the name can't be worked out"
    (home / KEY_FILE).write_text("short")
    with pytest.raises(UserError, match="damaged"):
        case_name(cases[0])


@pytest.mark.parametrize("name", ["a.b", "a b", "Käse", "x_0000", "../up", "", "-x"])
def test_case_names_that_nnunet_would_stumble_over(case: Case, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="can't be the name"):
        export(case, organs(case), tmp_path / "ds", name=name)
    assert not (tmp_path / "ds").exists()


def test_two_structures_that_mean_one_organ(case: Case, tmp_path: Path) -> None:
    given = [structure("Parotid_R", ball(case, (5, 20, 20), 3)), structure("right parotid", ball(case, (5, 20, 20), 2))]
    with pytest.raises(UserError, match="both mean Parotid_R"):
        export(case, given, tmp_path / "ds")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "can't be read"),
        ({"labels": {"background": 0, "a": 2}}, "isn't a dataset of CT"),
        ({"labels": {"background": 0, "a": [1, 2]}}, "aren't plain numbers"),
        ({"labels": {"background": 0, "a": 5}, "channel_names": {"0": "CT"}, "file_ending": ".nii.gz"}, "1, 2, 3"),
        ({"labels": {"background": 0, "a": 1}, "channel_names": {"0": "T1", "1": "T2"}}, "isn't a dataset of CT"),
        (
            {"labels": {"background": 0, "a": 1, "ignore": 2}, "channel_names": {"0": "CT"}, "file_ending": ".nii.gz"},
            "ignore label",
        ),
    ],
)
def test_datasets_of_another_kind_are_left_alone(case: Case, tmp_path: Path, content: object, match: str) -> None:
    folder = tmp_path / "ds"
    folder.mkdir()
    (folder / "dataset.json").write_text(content if isinstance(content, str) else json.dumps(content))
    before = tree(folder)
    with pytest.raises(UserError, match=match):
        export(case, organs(case), folder)
    assert tree(folder) == before


def test_cases_of_a_dataset_without_contoured_json_stay_known(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "ds"
    export(case, organs(case)[:1], folder, name="old")
    (folder / "contoured.json").unlink()
    export(case, organs(case), folder, name="new")
    contoured = json.loads((folder / "contoured.json").read_text("utf-8"))
    assert contoured["old"]["contoured"] == ["Brainstem"], "but not for labels that came later"
    assert contoured["new"]["contoured"] == ["Brainstem", "Parotid_R", "Parotid_L"]


def test_names_that_nnunet_keeps_for_itself(case: Case, tmp_path: Path) -> None:
    for name in ("background", "Ignore"):
        with pytest.raises(UserError, match="for itself"):
            export(case, [structure(name, ball(case, (5, 20, 20), 3))], tmp_path / "ds")


def test_the_training_reads_it(case: Case, tmp_path: Path) -> None:
    training_data = pytest.importorskip("contourdesk.inference.training_data")
    report = export(case, organs(case)[:2], tmp_path / "ds", labels=["Heart"])
    raw = training_data.RawDataset.open(tmp_path / "ds")
    assert raw.cases() == [report.name]
    assert raw.known(report.name).tolist() == [True, False, True, True]
    hu, labels, spacing = raw.read(report.name)
    assert np.array_equal(hu, case.volume.array)
    assert set(np.unique(labels)) == {0, 2, 3}
    assert np.allclose(spacing, (2.5, 1.3, 0.9))
