"""Evaluation in the window: real models on real cases, the way to the worst case, and who becomes the default."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_phantoms import make_dataset
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from tiny_model import library_home, make_model
from window_steps import child, click, is_there

from contourdesk.app.jobs import run
from contourdesk.app.project import load
from contourdesk.inference import model_library as library
from contourdesk.widgets.evaluate_dialog import EvaluateDialog, evaluations


@pytest.fixture
def dialog(qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    library_home(tmp_path, monkeypatch)
    run(library.add(make_model(tmp_path / "old"), "old"))
    made = EvaluateDialog(str(make_dataset(tmp_path / "data", 2)), "cpu", "Dr Test")
    made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    return made


def evaluate(qtbot, dialog) -> None:
    click(qtbot, dialog, "evaluate_start")
    qtbot.waitUntil(lambda: not dialog.runner.running, timeout=60_000)


def column(table, title: str) -> list[str]:
    heads = [table.horizontalHeaderItem(x).text() for x in range(table.columnCount())]
    return [table.item(y, heads.index(title)).text() for y in range(table.rowCount())]


def test_two_models_the_worst_case_and_the_default(qtbot, dialog, tmp_path, monkeypatch):
    newer = make_model(tmp_path / "newer", seed=8)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(newer))
    qtbot.keyClicks(child(dialog, "evaluate_a"), "old")
    click(qtbot, dialog, "evaluate_b_browse")
    evaluate(qtbot, dialog)
    assert "Too few patients" in child(dialog, "evaluate_verdict").text()
    figures = child(dialog, "evaluate_figures")
    assert column(figures, "Organ") == ["Brainstem", "Parotid_R", "Bone_Mandible", "mean of organs"]
    assert column(figures, "Patients") == ["2"] * 4
    assert (dialog._out / "report.html").is_file()
    assert dialog._out.parent == evaluations()

    wanted = []
    dialog.case_wanted.connect(lambda *what: wanted.append(what))
    click(qtbot, dialog, "evaluate_open_case")
    ((folder, score),) = wanted
    names = {s.name for s in run(load(folder)).structures}
    assert {score.organ, f"{score.organ} A", f"{score.organ} B"} & names

    assert library.defaults() == {"head and neck": "headneck"}  # nothing by itself
    click(qtbot, dialog, "promote")
    asked = child(dialog, "promote_dialog")
    assert "headneck stays" in asked.informativeText()
    assert "Too few patients" in asked.informativeText()
    with qtbot.waitSignal(dialog.models_changed, timeout=30_000):
        click(qtbot, dialog, "promote_yes")
    assert library.defaults() == {"head and neck": "newer"}
    assert library.last_change("head and neck").who == "Dr Test"
    assert Path(library.find("newer").folder) == newer
    assert not is_there(dialog, "promote")
    with qtbot.waitSignal(dialog.models_changed, timeout=30_000):
        click(qtbot, dialog, "promote_back")
    assert library.defaults() == {"head and neck": "headneck"}
    assert is_there(dialog, "promote")

    qtbot.keyClicks(child(dialog, "evaluate_b"), "none")  # A alone: its predictions are there already
    evaluate(qtbot, dialog)
    assert column(child(dialog, "evaluate_figures"), "Missed")[-1].isdigit()
    assert child(dialog, "evaluate_verdict").text().startswith("Mean Dice")


def test_what_can_not_be_compared_is_told(qtbot, dialog, tmp_path):
    dialog.choose(str(make_model(tmp_path / "other", {"Larynx": 1})))
    evaluate(qtbot, dialog)
    fact = child(dialog, "error_fact").text()
    assert "nothing known to compare" in fact
    assert not is_there(dialog, "evaluate_figures")
    child(dialog, "error_dialog").accept()
    child(dialog, "evaluate_cases").clear()
    assert not child(dialog, "evaluate_start").isEnabled()
