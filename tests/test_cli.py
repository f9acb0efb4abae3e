"""The command line as a user meets it: arguments, messages, exit codes, files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_model import make_model

from contourdesk import __version__
from contourdesk.app import cli, console
from contourdesk.app.cli import main
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Progress
from contourdesk.app.segment_command import model_folder

NAMES = {"Brainstem", "Parotid_R", "Bone_Mandible"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def body(shape: tuple[int, int, int]) -> np.ndarray:
    """HU (z, y, x): air round smooth noise."""
    hu = np.full(shape, -1000, np.int16)
    inner = np.random.default_rng(0).normal(0, 100, [n - 4 for n in shape])
    hu[2:-2, 2:-2, 2:-2] = inner
    return hu


def write_nifti(path: Path, shape: tuple[int, int, int] = (14, 26, 22)) -> sitk.Image:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(body(shape))
    image.SetSpacing((2.0, 2.0, 3.0))
    image.SetOrigin((-10, 5, 40))
    sitk.WriteImage(image, str(path))
    return image


def errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "error:" in line]


def test_segment_nifti_on_its_own_grid(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]):
    image = write_nifti(tmp_path / "in" / "HN_242_0000.nii.gz")
    code = main(["segment", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--model", str(model)])
    assert (code, errors(capsys)) == (0, [])
    masks = sorted((tmp_path / "out" / "HN_242").glob("*.nii.gz"))
    assert {p.name.removesuffix(".nii.gz") for p in masks} == NAMES
    for path in masks:
        mask = sitk.ReadImage(str(path))
        assert mask.GetSize() == image.GetSize()
        np.testing.assert_allclose(mask.GetOrigin(), image.GetOrigin(), atol=1e-4)
        np.testing.assert_allclose(mask.GetSpacing(), image.GetSpacing(), atol=1e-4)


def test_segment_dicom_writes_both(tmp_path: Path, model: Path, make_ct, capsys: pytest.CaptureFixture[str]):
    ct = make_ct(tmp_path / "Case 7", hu=body((10, 40, 32)), shape=(10, 40, 32))
    assert main(["segment", str(ct.folder), "--out", str(tmp_path / "out"), "--model", str(model)]) == 0
    names = {p.name for p in (tmp_path / "out" / "Case 7").iterdir()}
    assert "rtstruct.dcm" in names
    assert {f"{n}.nii.gz" for n in NAMES} <= names
    assert errors(capsys) == []
    assert "Phantom" not in capsys.readouterr().out  # the patient's name is not for the screen


def test_segment_and_export_into_every_format(tmp_path: Path, model: Path, make_ct, capsys: pytest.CaptureFixture[str]):
    ct = make_ct(tmp_path / "Case", hu=body((10, 40, 32)), shape=(10, 40, 32))
    out = tmp_path / "out"
    formats = ["--format", "seg,nrrd"]
    assert main(["segment", str(ct.folder), "--out", str(out), "--model", str(model), *formats]) == 0
    names = {p.name for p in (out / "Case").iterdir()}
    assert names == {"segmentation.dcm", "structures.seg.nrrd"} and errors(capsys) == []
    for name in sorted(names):
        assert main(["check", str(ct.folder), "--structures", str(out / "Case" / name)]) == 0
        assert f"{name}: " in capsys.readouterr().out
    write_nifti(tmp_path / "x.nii.gz")
    assert main(["check", str(tmp_path / "x.nii.gz"), "--structures", str(out / "Case" / "segmentation.dcm")]) == 2
    assert "was not made on these images" in errors(capsys)[0]
    assert main(["segment", str(tmp_path / "x.nii.gz"), "--out", str(out), "--model", str(model), *formats]) == 0
    assert "a DICOM SEG needs DICOM images to refer to; left out." in capsys.readouterr().err
    assert [p.name for p in (out / "x").iterdir()] == ["structures.seg.nrrd"]


def test_one_bad_case_does_not_stop_the_others(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a", "c"):
        write_nifti(tmp_path / "in" / f"{name}_0000.nii.gz")
    (tmp_path / "in" / "b_0000.nii.gz").write_text("no image")
    code = main(["segment", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--model", str(model)])
    lines = errors(capsys)
    assert code == 2
    assert len(lines) == 1
    assert "b_0000.nii.gz" in lines[0]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a", "c"}


def test_two_cases_of_one_name_get_two_folders(tmp_path: Path, model: Path):
    paths = [tmp_path / "one" / "x.nii.gz", tmp_path / "two" / "x.nii.gz"]
    for path in paths:
        write_nifti(path)
    assert main(["segment", *map(str, paths), "--out", str(tmp_path / "out"), "--model", str(model)]) == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"x", "x_2"}


def test_rtstruct_of_a_nifti_is_explained(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]):
    write_nifti(tmp_path / "x.nii.gz")
    arguments = ["--out", str(tmp_path / "out"), "--model", str(model), "--format", "rtstruct"]
    assert main(["segment", str(tmp_path / "x.nii.gz"), *arguments]) == 0
    assert "needs DICOM" in capsys.readouterr().err
    assert len(list((tmp_path / "out" / "x").glob("*.nii.gz"))) == 3


@pytest.mark.parametrize("gone", ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"])
def test_a_broken_model_is_one_line(gone: str, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]):
    write_nifti(tmp_path / "x.nii.gz")
    (model / gone).unlink()
    code = main(["segment", str(tmp_path / "x.nii.gz"), "--out", str(tmp_path / "out"), "--model", str(model)])
    lines = errors(capsys)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("contourdesk: error: ")
    assert Path(gone).name in lines[0]


def test_model_folder():
    with pytest.raises(UserError, match="nowhere"):
        model_folder("nowhere")


@pytest.mark.parametrize("what", ["text file", "empty folder", "MR", "truncated"])
def test_what_cannot_be_segmented(what: str, tmp_path: Path, model: Path, make_ct, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "input"
    if what == "text file":
        path.write_text("hello")
    elif what == "empty folder":
        path.mkdir()
    elif what == "MR":
        make_ct(path, modality="MR")
    else:
        ct = make_ct(path)
        for file in ct.files:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for command in (
        ["segment", str(path), "--model", str(model), "--out", str(tmp_path / "out")],
        ["check", str(path)],
    ):
        assert main(command) == 2
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert len([line for line in captured.err.splitlines() if "error:" in line]) == 1
    assert not (tmp_path / "out").exists()


def test_check_a_good_series_and_a_model(tmp_path: Path, model: Path, make_ct, capsys: pytest.CaptureFixture[str]):
    ct = make_ct(tmp_path / "ct")
    assert main(["check", str(ct.folder), str(model)]) == 0
    out = capsys.readouterr().out
    assert "10 slices" in out
    assert "Brainstem, RightParotid, Mandible" in out


def test_check_a_structure_set(tmp_path: Path, make_ct, make_rtstruct, capsys: pytest.CaptureFixture[str]):
    def without_label(ds):
        del ds.StructureSetLabel

    path = make_rtstruct(tmp_path / "rt.dcm", make_ct(tmp_path / "ct"), [], edit=without_label)
    assert main(["check", str(path)]) == 2
    assert "rt.dcm: error: The file has no StructureSetLabel" in capsys.readouterr().out


def test_check_reports_a_gap(tmp_path: Path, make_ct, capsys: pytest.CaptureFixture[str]):
    make_ct(tmp_path / "ct", skip=[4])
    assert main(["check", str(tmp_path / "ct")]) == 2
    assert "missing" in "".join(capsys.readouterr()).lower()


@pytest.mark.slow
def test_train_then_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = tmp_path / "data"
    for case in ("a", "b"):
        image = write_nifti(data / "imagesTr" / f"{case}_0000.nii.gz", (40, 70, 70))
        labels = np.zeros((40, 70, 70), np.uint8)
        labels[15:25, 30:40, 30:40] = 1
        label = sitk.GetImageFromArray(labels)
        label.CopyInformation(image)
        (data / "labelsTr").mkdir(exist_ok=True)
        sitk.WriteImage(label, str(data / "labelsTr" / f"{case}.nii.gz"))
    info = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "Box": 1}, "numTraining": 2}
    (data / "dataset.json").write_text(json.dumps({**info, "file_ending": ".nii.gz"}))
    arguments = ["train", str(data), "--out", str(tmp_path / "model"), "--minutes", "0.02", "--spacing", "3,2,2"]
    assert main([*arguments, "--json", "--device", "cpu"]) == 0
    steps = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all({"phase", "done", "total", "text"} <= set(step) for step in steps)
    assert any(step["loss"] > 0 for step in steps if step["phase"] == "training")
    assert steps[-1]["phase"] == "finished"
    assert main(["check", str(tmp_path / "model")]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment"],
        ["segment", "x", "--format", "dicom"],
        ["segment", "x", "--format", ","],
        ["train", "x", "--out", "y", "--minutes", "-3"],
        ["train", "x", "--out", "y", "--minutes", "5", "--spacing", "1,x"],
        ["export", "x"],
    ],
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_export_without_a_review(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["export", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]) == 2
    assert len(errors(capsys)) == 1


def test_a_path_without_a_command_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    opened = []
    monkeypatch.setitem(cli._COMMANDS, "review", lambda options: opened.append((options.path, options.sample)) or 0)
    assert main([]) == main([str(tmp_path)]) == main(["review", str(tmp_path)]) == main(["--sample"]) == 0
    assert opened == [(None, False), (tmp_path, False), (tmp_path, False), (None, True)]


def test_no_such_path_and_no_display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    assert main([str(tmp_path / "gone")]) == 2
    assert "no file or folder" in errors(capsys)[0]
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert main([str(tmp_path)]) == 2
    assert "no display" in errors(capsys)[0]


def test_a_bug_is_one_line_and_goes_to_the_log(home: Path, capsys: pytest.CaptureFixture[str]):
    def broken() -> int:
        raise RuntimeError("oops")

    assert console.guarded(broken) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert "RuntimeError: oops" in (home / "contourdesk.log").read_text()


def test_ctrl_c_says_so(capsys: pytest.CaptureFixture[str]):
    def stopped() -> int:
        raise KeyboardInterrupt

    assert console.guarded(stopped) == 130
    assert "stopped" in capsys.readouterr().err


def test_a_job_runs_with_a_bar():
    def job():
        yield Progress(1, 2, "half")
        yield Progress(0, 0, "no idea how much")
        return 7

    assert console.run_job(job(), "Working") == 7


def test_as_a_module_without_qt_or_torch():
    code = "import contourdesk.app.cli, sys; print(any(m in sys.modules for m in ('torch', 'qtpy', 'PySide6')))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout
        == "False\n"
    )
    said = subprocess.run(
        [sys.executable, "-m", "contourdesk", "--version"], env=environment, capture_output=True, text=True
    )
    assert said.stdout == f"contourdesk {__version__}\n"
