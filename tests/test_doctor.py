"""The self-test tells what is wrong with a computer, and that nothing is where nothing is."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from contourdesk.app import doctor
from contourdesk.app.cli import main
from contourdesk.app.dicom_syntaxes import COMPRESSED
from contourdesk.app.doctor import Line, as_text, summary, worst
from contourdesk.app.doctor_frames import FRAMES
from contourdesk.inference.health import changed_files

MODELS = Path(__file__).resolve().parents[1] / "resources" / "models"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


def test_a_frame_for_every_decoder() -> None:
    assert {frame.syntax for frame in FRAMES} <= COMPRESSED
    assert all(frame.worst_error() <= frame.error for frame in FRAMES)


def test_damaged_frame_fails_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg_ls = next(frame for frame in FRAMES if frame.name == "JPEG-LS")
    broken = replace(jpeg_ls, text=jpeg_ls.text[:60])
    wrong = replace(FRAMES[-1], step=1999)
    monkeypatch.setattr(doctor, "FRAMES", (broken, wrong, FRAMES[0]))
    first, second, third, sample = doctor.decoder_lines()
    assert (first.state, second.state, third.state) == ("fail", "fail", "ok")
    assert "errors of up to 21" in second.found
    assert sample.found == "110 × 256 × 256 voxels read"


def test_folder_that_can_not_be_written(home: Path) -> None:
    home.write_text("a file where the folder would be")
    lines = {line.what: line for line in doctor.folder_lines()}
    assert lines["Reviews"].state == "fail"
    assert str(home) in lines["Reviews"].found
    assert lines["Reviews"].what_to_do


def test_folders_are_not_made_by_looking(home: Path) -> None:
    lines = list(doctor.folder_lines())
    assert [line.state for line in lines] == ["ok"] * 4 or shutil.disk_usage(home.parent).free < 5 << 30
    assert lines[-1].what == "Log files"
    assert str(home) in lines[-1].found
    assert not home.exists()


def test_bundled_models_are_as_shipped() -> None:
    """After a change of the model: cd resources/models && sha256sum */fold_*/*.pth > sha256.txt."""
    listed = {line.split()[1] for line in (MODELS / "sha256.txt").read_text("utf-8").splitlines()}
    assert listed == {path.relative_to(MODELS).as_posix() for path in MODELS.rglob("*.pth")}
    for folder in (path.parent for path in MODELS.glob("*/plans.json")):
        assert changed_files(folder) == []


def test_changed_model_is_found(tmp_path: Path) -> None:
    shutil.copytree(MODELS, tmp_path / "models")
    weights = next((tmp_path / "models" / "headneck").rglob("*.pth"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    assert changed_files(tmp_path / "models" / "headneck") == [weights.name]
    weights.unlink()
    assert changed_files(tmp_path / "models" / "headneck") == [weights.name]


def test_driver_that_kills_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that asks the driver dies; this one says so and lives."""
    monkeypatch.setenv("DISPLAY", ":0")
    code = "import os, sys; print('libGL: no way', file=sys.stderr, flush=True); os.abort()"
    monkeypatch.setattr(doctor, "itself", lambda: [sys.executable, "-c", code])
    (line,) = doctor.screen_lines()
    assert line.state == "fail"
    assert "libGL: no way" in line.found
    assert "driver" in line.what_to_do


def test_table_and_verdict() -> None:
    good, bad = Line("Images", "RLE", "ok", "decoded right"), Line("Folders", "Log", "fail", "full", "Free some space.")
    assert (worst([good]), worst([good, bad])) == ("ok", "fail")
    assert summary([good, bad]) == "Failed: Log. Contourdesk can't do all its work here."
    assert as_text([good, bad]) == [
        "Images",
        "  ok    RLE  decoded right",
        "Folders",
        "  fail  Log  full",
        "             Free some space.",
        summary([good, bad]),
    ]


def test_command(no_display: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    lines = [Line(**entry) for entry in json.loads(capsys.readouterr().out)]
    assert {line.group for line in lines} == {"Program", "Folders", "Images", "Memory", "Networks", "Models", "Screen"}
    assert next(line for line in lines if line.group == "Models").state == "ok"
    assert lines[-1].found == "there is none"


def test_window_needs_a_display_and_an_empty_folder(
    no_display: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["doctor", "--window", str(tmp_path / "new")]) == 2
    assert "no display" in capsys.readouterr().err
    monkeypatch.setenv("DISPLAY", ":0")
    (tmp_path / "kept.txt").touch()
    assert main(["doctor", "--window", str(tmp_path)]) == 2
    assert "not an empty folder" in capsys.readouterr().err


def test_dialog(qtbot, no_display: None) -> None:
    from qtpy.QtWidgets import QApplication

    from contourdesk.widgets.doctor_dialog import DoctorDialog

    dialog = DoctorDialog()
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitUntil(lambda: bool(dialog.lines), timeout=60_000)
    assert dialog.state.text() == "All works; look at: Display."
    assert "headneck" in dialog.list.toPlainText()
    dialog.copy.click()
    assert QApplication.clipboard().text().splitlines() == as_text(dialog.lines)
