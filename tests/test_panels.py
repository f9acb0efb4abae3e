"""Segment, review, export, settings, series and error panels, each by itself."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QLabel, QPushButton, QWidget
from tiny_model import make_model
from view_phantoms import make_session

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.checks import Finding
from contourdesk.app.dicom_read import SeriesInfo
from contourdesk.app.errors import UserError
from contourdesk.app.review import ReviewSession
from contourdesk.app.settings import Settings
from contourdesk.widgets.actions import Action, make_actions
from contourdesk.widgets.case_browser import SeriesDialog
from contourdesk.widgets.error_dialog import ErrorDialog, describe
from contourdesk.widgets.export_dialog import ExportDialog
from contourdesk.widgets.findings import Findings
from contourdesk.widgets.predict_panel import PredictPanel
from contourdesk.widgets.review_panel import ReviewPanel
from contourdesk.widgets.settings_dialog import SettingsDialog
from contourdesk.widgets.start_page import Entry, StartPage
from contourdesk.widgets.theme import RESOURCES

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def session():
    session = make_session("axial")
    session.reviewer = "Dr Test"
    return session


def shown(qtbot, widget):
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


# -- segment ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


def predict_panel(qtbot, session, folders) -> PredictPanel:
    panel = shown(qtbot, PredictPanel(folders, "cpu"))
    panel.set_session(session)
    return panel


def test_segment_adds_proposals_as_one_step(qtbot, session, model_folder):
    panel = predict_panel(qtbot, session, [model_folder])
    before = session.revision
    with qtbot.waitSignal(panel.finished, timeout=60_000) as blocker:
        qtbot.mouseClick(panel.button, LEFT)
        assert not panel.button.isEnabled()
        assert panel.bar.isVisible()
    assert "proposed" in blocker.args[0]
    assert session.revision == before + 1
    assert {s.provenance.source for s in session.structures} == {"model", "reviewer"}
    assert len(session.structures) == 6
    assert panel.button.isEnabled()
    assert not panel.bar.isVisible()


def test_cancel_changes_nothing_and_works_within_a_second(qtbot, session, tmp_path):
    slow = make_model(tmp_path / "slow", spacing_mm=(1.0, 0.4, 0.4))  # hundreds of patches
    panel = predict_panel(qtbot, session, [slow])
    qtbot.mouseClick(panel.button, LEFT)
    qtbot.waitUntil(lambda: panel.bar.value() > 1, timeout=60_000)
    began = time.monotonic()
    with qtbot.waitSignal(panel.finished, timeout=5000):
        qtbot.mouseClick(panel.cancel_button, LEFT)
    assert time.monotonic() - began < 1.5
    assert session.revision == 0
    assert panel.text.text().startswith("Cancelled")
    assert panel.runner.wait(20)


def test_result_for_another_case_is_dropped(qtbot, session, model_folder):
    panel = predict_panel(qtbot, session, [model_folder])
    panel.start()
    other = make_session("axial")
    panel.set_session(other)
    qtbot.waitUntil(lambda: not panel.running, timeout=60_000)
    qtbot.wait(50)
    assert session.revision == other.revision == 0
    assert panel.runner.wait(20)


@pytest.mark.parametrize("missing", ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"])
def test_broken_model_is_told_in_plain_words(qtbot, session, tmp_path, missing):
    folder = make_model(tmp_path / "broken")
    (folder / missing).unlink()
    panel = predict_panel(qtbot, session, [folder])
    with qtbot.waitSignal(panel.failed, timeout=60_000) as blocker:
        panel.start()
    assert isinstance(blocker.args[0], UserError)
    assert Path(missing).name in str(blocker.args[0])
    assert session.revision == 0
    assert panel.button.isEnabled()


# -- review ----------------------------------------------------------------------------------------------------------


def test_decisions_with_comment_and_reviewer(qtbot, session):
    panel = shown(qtbot, ReviewPanel())
    panel.set_session(session)
    big = session.structures.items[0].id
    panel.set_active(big)
    qtbot.keyClicks(panel.comment, "good")
    with qtbot.waitSignal(panel.decided):
        qtbot.mouseClick(panel.buttons["accepted"], LEFT)
    decision = session.structures.get(big).decision
    assert (decision.state, decision.person, decision.comment) == ("accepted", "Dr Test", "good")
    assert "Accepted by Dr Test" in panel.state.text()
    assert panel.buttons["accepted"].isChecked()
    assert panel.progress.text() == "1 of 3 decided"
    qtbot.mouseClick(panel.buttons["accepted-edited"], LEFT)
    assert session.structures.get(big).decision.state == "accepted-edited"
    assert "Accepted with minor edit by Dr Test" in panel.state.text()
    session.undo()
    qtbot.mouseClick(panel.buttons["unreviewed"], LEFT)
    assert session.structures.get(big).decision.state == "unreviewed"
    assert not panel.buttons["accepted"].isChecked()
    session.undo()
    assert panel.buttons["accepted"].isChecked()


def test_an_edit_reopens_what_was_accepted(qtbot, session):
    panel = shown(qtbot, ReviewPanel())
    panel.set_session(session)
    big = session.structures.items[0]
    panel.set_active(big.id)
    panel.decide("accepted")
    session.paint(big.id, big.mask.offset, ~big.mask.bits)
    assert panel.state.text() == "Not reviewed yet"
    assert not panel.buttons["accepted"].isChecked()


def test_without_a_name_no_decision(qtbot, session):
    session.reviewer = ""
    panel = shown(qtbot, ReviewPanel())
    panel.set_session(session)
    big = session.structures.items[0].id
    panel.set_active(big)
    qtbot.mouseClick(panel.buttons["accepted"], LEFT)
    assert session.structures.get(big).decision.state == "unreviewed"
    assert not panel.buttons["accepted"].isChecked()
    assert "name" in panel.state.text()
    panel.reviewer.clear()
    qtbot.keyClicks(panel.reviewer, "Dr New")
    qtbot.mouseClick(panel.buttons["accepted"], LEFT)
    assert session.structures.get(big).decision.person == "Dr New"


def test_findings_come_by_themselves_and_lead_there(qtbot, session):
    panel = shown(qtbot, ReviewPanel())
    panel.set_session(session)
    shown_list = panel.findings
    findings = Findings()
    findings.checking.connect(shown_list.set_checking)
    findings.found.connect(shown_list.set_found)
    with qtbot.waitSignal(findings.found, timeout=10_000):
        findings.set_session(session)
        assert shown_list.heading.text() == "Checking…"
    texts = [shown_list.list.item(i).text() for i in range(shown_list.list.count())]
    assert any("Empty is empty" in text for text in texts)
    assert shown_list.heading.text().startswith("Checks: ")
    with qtbot.waitSignal(panel.finding_chosen) as blocker:
        rect = shown_list.list.visualItemRect(shown_list.list.item(0))
        qtbot.mouseClick(shown_list.list.viewport(), LEFT, pos=rect.center())
    assert isinstance(blocker.args[0], Finding)
    with qtbot.waitSignal(panel.finding_chosen):
        shown_list.list.setFocus()
        qtbot.keyClick(shown_list.list, Qt.Key.Key_Return)
    empty = next(s for s in session.structures if s.name == "Empty")
    with qtbot.waitSignal(findings.found, timeout=10_000):
        session.delete(empty.id)
        findings.note_change()
        assert shown_list.heading.text() == "Checking…"
    texts = [shown_list.list.item(i).text() for i in range(shown_list.list.count())]
    assert not any("Empty is empty" in text for text in texts)
    findings.set_session(None)
    assert findings.runner.wait(5)


# -- export ----------------------------------------------------------------------------------------------------------


def test_export_says_why_it_can_not(qtbot, session, tmp_path):
    dialog = shown(qtbot, ExportDialog(session))
    assert not dialog.button.isEnabled()
    assert "accepted" in dialog.warning.text()
    dialog.everything.setChecked(True)
    assert dialog.button.isEnabled()
    assert "Not reviewed, but exported" in dialog.warning.text()
    for box in dialog.formats.values():
        box.setChecked(False)
    assert not dialog.button.isEnabled()
    assert "format" in dialog.warning.text()
    dialog.close()


def test_export_leaves_unreviewed_out_and_says_so(qtbot, session):
    session.decide(session.structures.items[0].id, "accepted")
    session.decide(session.structures.items[2].id, "accepted")  # which is empty
    dialog = shown(qtbot, ExportDialog(session))
    assert dialog.button.isEnabled()
    assert "Left" in dialog.warning.text()
    assert "Accepted but empty, left out: Empty." in dialog.warning.text()
    assert "2 of 3" in dialog.accepted_only.text()
    dialog.close()


# -- others ----------------------------------------------------------------------------------------------------------


def info(uid: str, slices: int, problems=()) -> SeriesInfo:
    return SeriesInfo(uid, "CT", "Doe^Jo", "2020-01-02", f"series {uid}", slices, "1 x 1 x 3 mm", tuple(problems), ())


def test_series_dialog_puts_what_can_be_used_first_and_says_why_not(qtbot):
    dialog = shown(qtbot, SeriesDialog([info("a", 300, ["Slices are missing."]), info("b", 20), info("c", 90)]))
    table = dialog.table
    assert [table.item(r, 2).text() for r in range(3)] == ["series c", "series b", "series a"]
    assert table.item(2, 7).text() == "Slices are missing."
    assert not table.item(2, 0).flags() & Qt.ItemFlag.ItemIsEnabled
    table.selectRow(1)
    with qtbot.waitSignal(dialog.chosen) as blocker:
        qtbot.mouseClick(dialog.open_button, LEFT)
    assert blocker.args[0].uid == "b"


def test_series_dialog_with_nothing_usable_opens_nothing(qtbot):
    dialog = shown(qtbot, SeriesDialog([info("a", 3, ["An MR."])]))
    assert not dialog.open_button.isEnabled()
    dialog.close()


def test_errors_in_plain_words(qtbot):
    assert describe(UserError("Fact.", "Advice.")) == ("Fact.", "Advice.")
    assert "full" in describe(OSError(28, "No space left on device"))[0]
    assert "written" in describe(PermissionError(13, "no", "/x/case.json"))[0]
    dialog = shown(qtbot, ErrorDialog(None, ZeroDivisionError("secret")))
    assert "work is saved" in dialog.findChild(QLabel, "error_fact").text()
    assert not dialog.details.isVisible()
    qtbot.mouseClick(dialog.findChild(QPushButton, "error_show_details"), LEFT)
    assert dialog.details.isVisible()
    assert "ZeroDivisionError" in dialog.details.toPlainText()
    dialog.close()
    expected = shown(qtbot, ErrorDialog(None, UserError("Fact.", "Advice.")))
    assert expected.findChild(QPushButton, "error_show_details") is None
    expected.close()


def test_settings_dialog(qtbot):
    dialog = shown(qtbot, SettingsDialog(Settings(reviewer="A"), "/somewhere"))
    dialog.general.reviewer.setText(" Dr B ")
    dialog.general.device.setCurrentIndex(dialog.general.device.findData("cpu"))
    with qtbot.waitSignal(dialog.changed) as blocker:
        dialog.findChild(QWidget, "settings_buttons").accepted.emit()
    assert blocker.args[0] == replace(Settings(), reviewer="Dr B", device="cpu")


def test_start_page_lists(qtbot):
    page = shown(qtbot, StartPage())
    assert not page.findChild(QWidget, "start_reviews").isVisible()
    page.set_entries([Entry(Path("r"), "Anna", "1 of 2", unsaved=True)], [Entry(Path("c"), "c", "folder")])
    with qtbot.waitSignal(page.open_review) as blocker:
        qtbot.mouseClick(page.findChild(QPushButton, "review_0"), LEFT)
    assert blocker.args[0] == Path("r")
    assert "can be recovered" in page.findChild(QPushButton, "review_0").accessibleName()
    with qtbot.waitSignal(page.open_recent) as blocker:
        qtbot.mouseClick(page.findChild(QPushButton, "recent_0"), LEFT)
    assert blocker.args[0] == Path("c")


def test_actions_do_nothing_when_not_enabled(qtbot):
    window = shown(qtbot, QWidget())
    done: list[int] = []
    allowed = [False]
    actions = [Action("do", "Edit", "Do it", ("D",), lambda: done.append(1), lambda: allowed[0])]
    made = make_actions(window, actions)
    made["do"].trigger()
    assert done == []
    allowed[0] = True
    made["do"].trigger()
    assert done == [1]


def test_every_icon_draws(qtbot):
    for path in (RESOURCES / "icons").glob("*.svg"):
        image = QIcon(str(path)).pixmap(32, 32).toImage()
        assert any(image.pixelColor(x, y).alpha() for x in range(32) for y in range(32)), path.name


def test_file_stem_is_safe():
    from contourdesk.app.export import file_stem

    case = make_session("axial").case
    odd = Case(Patient(id="../a b/ü"), case.volume, Source(Path("x.nii.gz"), "1"))
    assert file_stem(odd) == "a_b_ü"
    assert file_stem(Case(Patient(), case.volume, Source(Path("x.nii.gz"), "1"))) == "x"
    assert isinstance(ReviewSession(odd), ReviewSession)
