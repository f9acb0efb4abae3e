"""Export of many reviews from the window: real reviews, a real dataset, one review that fails; real clicks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from evaluation_phantoms import make_review
from phantoms import make_ct
from qtpy.QtCore import Qt
from window_steps import child, click

from contourdesk.app.audit import read_audit, verify
from contourdesk.app.export_job import How, export_many
from contourdesk.app.jobs import run
from contourdesk.app.worklist_scan import update
from contourdesk.widgets.export_reviews_dialog import ExportReviewsDialog


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three reviews: one done, one in part, one whose images are gone."""
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    for name in "abc":
        make_ct(tmp_path / "cases" / name, (14, 26, 22), patient=f"Patient^{name.upper()}", patient_id=name)
        make_review(tmp_path / "reviews" / name, tmp_path / "cases" / name, ("Brainstem", "Mandible"))
    return tmp_path / "reviews"


@pytest.fixture
def dialog(qtbot, tmp_path, reviews):
    rows = run(update([tmp_path / "cases"], reviews))
    shutil.rmtree(tmp_path / "cases" / "c")
    made = ExportReviewsDialog(rows, [rows[0].key], str(tmp_path / "out"), own=reviews / "b")
    made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    return made


def contoured(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "out" / "Dataset501_Contourdesk" / "contoured.json").read_text())


def test_many_reviews_become_one_dataset_and_what_fails_says_why(qtbot, dialog, tmp_path, reviews):
    own, train = [], []
    dialog.own_exported.connect(own.append)
    dialog.train_wanted.connect(train.append)
    assert child(dialog, "export_reviews_done").isChecked()
    assert "(3)" in child(dialog, "export_reviews_done").text()
    click(qtbot, dialog, "export_reviews_start")
    qtbot.waitUntil(lambda: not dialog.runner.running, timeout=20_000)
    assert child(dialog, "export_reviews_text").toolTip() == (
        "2 of 3 reviews were exported. 1 failed; the list says why."
    )
    table = child(dialog, "export_reviews_table")
    results = [table.item(row, 2).text() for row in range(3)]
    assert [text.endswith("2 structures") for text in results] == [True, True, False]
    assert table.currentRow() == 2
    assert results[2] in child(dialog, "export_reviews_detail").text()
    assert len(contoured(tmp_path)) == 2
    assert own == [["nnunet"]]
    assert read_audit(reviews / "a")[-1]["what"] == "export"
    assert not verify(reviews / "a")
    assert not any(entry["what"] == "export" for entry in read_audit(reviews / "b"))
    click(qtbot, dialog, "export_reviews_train")
    assert train == [tmp_path / "out" / "Dataset501_Contourdesk"]

    qtbot.mouseClick(child(dialog, "export_reviews_selected"), Qt.MouseButton.LeftButton)
    assert table.rowCount() == 1
    click(qtbot, dialog, "export_reviews_start")
    qtbot.waitUntil(lambda: not dialog.runner.running, timeout=20_000)
    assert child(dialog, "export_reviews_text").toolTip() == "1 of 1 reviews were exported."
    assert len(contoured(tmp_path)) == 2  # again is not twice
    assert dialog.close()


def test_a_stopped_export_leaves_whole_cases(qtbot, dialog, tmp_path):
    click(qtbot, dialog, "export_reviews_start")
    click(qtbot, dialog, "export_reviews_close")
    qtbot.waitUntil(lambda: not dialog.runner.running, timeout=20_000)
    assert "Stopped." in child(dialog, "export_reviews_text").toolTip()
    folder = tmp_path / "out" / "Dataset501_Contourdesk"
    cases = sorted(folder.glob("imagesTr/*")) if folder.exists() else []
    assert len(cases) == (len(contoured(tmp_path)) if cases else 0)
    assert dialog.isVisible()  # the first press stops, the second closes
    click(qtbot, dialog, "export_reviews_close")
    assert not dialog.isVisible()


def test_what_can_not_be_is_said(qtbot, dialog):
    qtbot.mouseClick(child(dialog, "export_reviews_nnunet"), Qt.MouseButton.LeftButton)
    assert not child(dialog, "export_reviews_start").isEnabled()
    assert child(dialog, "export_reviews_text").toolTip() == "Choose at least one format."
    qtbot.mouseClick(child(dialog, "export_reviews_nnunet"), Qt.MouseButton.LeftButton)
    dialog.overlaps.setCurrentIndex(3)
    assert not child(dialog, "export_reviews_ignore").isEnabled()


def test_a_folder_that_can_not_be_written_fails_each_review(tmp_path, reviews):
    (tmp_path / "file").write_text("in the way")
    done = run(export_many([reviews / "a", reviews / "b"], tmp_path / "file" / "x", How(("nnunet", "nifti"))))
    assert len(done) == 2
    assert all(e.problem for e in done)
