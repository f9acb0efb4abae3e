"""The worklist, the first slice and the audit trail in the window, by real clicks and keys."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from phantoms import make_ct
from qtpy.QtCore import QPoint, Qt
from window_steps import child, click, is_there, open_case, open_window

from contourdesk.app.structures import Mask
from contourdesk.app.worklist import COLUMNS
from contourdesk.widgets import worklist_control

CUBE = Mask.from_dense(np.ones((2, 5, 5), bool), (1, 3, 3))


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    for name, patient in (("a", "Alpha^Ann"), ("b", "Beta^Bob"), ("c", "Gamma^Cid")):
        make_ct(tmp_path / "cases" / name / "images", (6, 32, 32), patient=patient)
    return tmp_path / "cases"


def cells(window, column: str) -> list[str]:
    """What stands in a column, from top to bottom."""
    model = window.worklist.page.model
    return [model.index(row, COLUMNS.index(column)).data() for row in range(model.rowCount())]


def test_from_the_list_to_the_next_case(qtbot, monkeypatch, tmp_path, cases):
    monkeypatch.setattr(worklist_control, "_CALM_MS", 50)
    window = open_window(qtbot, monkeypatch, tmp_path / "home")
    click(qtbot, window, "start_worklist")
    assert is_there(window, "worklist_add")
    window.worklist.add_folder(cases)  # what the file dialog ends with
    page = window.worklist.page
    qtbot.waitUntil(lambda: cells(window, "patient") == ["Alpha Ann", "Beta Bob", "Gamma Cid"], timeout=20_000)
    assert cells(window, "state") == ["new"] * 3
    assert window.settings.worklist == (str(cases),)

    qtbot.keyClicks(child(window, "worklist_search"), "beta")
    assert cells(window, "patient") == ["Beta Bob"]
    child(window, "worklist_search").clear()
    header = page.table.horizontalHeader()
    x = header.sectionPosition(0) + 10
    for _ in range(2):  # first upwards, then downwards
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, 8))
    assert cells(window, "patient") == ["Gamma Cid", "Beta Bob", "Alpha Ann"]

    page.table.selectRow(1)
    page.table.setFocus()
    qtbot.keyClick(page.table, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.reviewing, timeout=20_000)
    assert window.patient.toolTip().startswith("Beta Bob")
    new = window.session.add("Kidney", mask=CUBE)
    window.session.decide(new, "accepted")
    qtbot.waitUntil(lambda: window.worklist._ahead is not None, timeout=20_000)
    ahead = window.worklist._ahead
    assert ahead.place.name == "a"
    window.made["case_next"].trigger()
    qtbot.waitUntil(lambda: window.patient.toolTip().startswith("Alpha Ann"), timeout=20_000)
    assert window.session.case is ahead.case

    window.made["open_worklist"].trigger()
    qtbot.waitUntil(lambda: sorted(cells(window, "state"))[0] == "done", timeout=20_000)
    found = zip(*(cells(window, column) for column in ("patient", "state", "decided")), strict=True)
    by_name = {patient: (state, decided) for patient, state, decided in found}
    assert by_name["Beta Bob"] == ("done", "1 of 1")
    assert by_name["Alpha Ann"][0] == "in review, open now"
    assert by_name["Gamma Cid"][0] == "new"
    click(qtbot, window, "worklist_done")
    assert cells(window, "patient") == ["Beta Bob"]
    click(qtbot, window, "worklist_all")
    qtbot.keyClick(page, Qt.Key.Key_Escape)
    assert window.reviewing
    assert window.close()


def test_what_was_read_ahead_is_dropped_when_its_files_change(qtbot, monkeypatch, tmp_path, cases):
    monkeypatch.setattr(worklist_control, "_CALM_MS", 50)
    window = open_window(qtbot, monkeypatch, tmp_path / "home", worklist=(str(cases),))
    open_case(qtbot, window, cases / "a")
    window.worklist.look()
    qtbot.waitUntil(lambda: window.worklist._ahead is not None, timeout=20_000)
    stale = window.worklist._ahead.case
    make_ct(cases / "b" / "images", (6, 32, 32), patient="Newer^Bob")
    window.made["case_next"].trigger()
    qtbot.waitUntil(lambda: window.patient.toolTip().startswith("Newer Bob"), timeout=20_000)
    assert window.session.case is not stale
    assert window.close()


def test_a_slice_is_seen_before_the_rest_is_read(qtbot, monkeypatch, tmp_path):
    ct = make_ct(tmp_path / "ct", (9, 64, 48), (3.0, 1.0, 2.0))
    window = open_window(qtbot, monkeypatch, tmp_path / "home")
    seen: list[tuple[str, bool]] = []
    look = window.loading.look
    look.painted.connect(lambda: seen.append((look.accessibleDescription(), window.session is None)))
    open_case(qtbot, window, ct.folder)
    assert seen
    assert all(nothing_to_edit for _, nothing_to_edit in seen)
    assert any("geometry" in text or "Slice 5 of 9" in text for text, _ in seen)
    assert look._image.width() == 48
    assert look._ratio == pytest.approx(64 / (48 * 2))
    assert window.close()


def test_the_audit_trail_is_shown_searched_and_exported(qtbot, monkeypatch, tmp_path):
    ct = make_ct(tmp_path / "ct", (6, 32, 32))
    window = open_window(qtbot, monkeypatch, tmp_path / "home")
    open_case(qtbot, window, ct.folder)
    new = window.session.add("Kidney", mask=CUBE)
    window.session.decide(new, "accepted", "fine")
    window.made["case_audit"].trigger()
    dialog = child(window, "audit_dialog")
    qtbot.waitUntil(lambda: dialog.table.rowCount() == 3, timeout=5000)
    assert "the chain is whole" in child(dialog, "audit_state").text()
    assert dialog.table.item(0, 3).text() == "Decision: Kidney unreviewed to accepted, with a comment"
    assert dialog.table.item(0, 2).text() == "Dr Test"
    qtbot.keyClicks(child(dialog, "audit_search"), "review begun")
    assert dialog.table.rowCount() == 1
    child(dialog, "audit_search").clear()
    qtbot.keyClicks(child(dialog, "audit_kind"), "Dec")
    assert dialog.table.rowCount() == 1
    dialog.export_to(tmp_path / "audit.csv")
    with (tmp_path / "audit.csv").open(encoding="utf-8-sig") as file:
        assert [row["what"] for row in csv.DictReader(file)] == ["decision"]
    dialog.close()
    assert window.close()
