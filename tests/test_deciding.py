"""Second reading, blind mode and report in the window, with real clicks and keys."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hands import structure
from phantoms import make_ct
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication
from window_steps import child, click, is_there, open_case, open_window

from contourdesk.app.structures import Decision, Mask

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def window(qtbot, monkeypatch, tmp_path):
    window = open_window(qtbot, monkeypatch, tmp_path / "home")
    open_case(qtbot, window, make_ct(tmp_path / "ct", (8, 48, 40)).folder)
    yield window
    window.close()


def propose(window, *names: str) -> None:
    bits = np.zeros(window.session.structures.grid.shape, bool)
    bits[2:6, 10:20, 10:20] = True
    window.session.add_proposals([structure(n, bits, decision=Decision(), id=n) for n in names])
    window.table.set_active(names[0])


def keys(qtbot, window, text: str) -> None:
    window.activateWindow()
    window.view.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is window.view, timeout=5000)
    qtbot.keySequence(window.view, QKeySequence(text))


def test_second_reading_from_the_menu(qtbot, window, tmp_path):
    propose(window, "A", "B")
    keys(qtbot, window, "A")
    keys(qtbot, window, "J")
    keys(qtbot, window, "R")
    assert not window.made["reading_compare"].isEnabled()
    window.made["reading_begin"].trigger()
    qtbot.waitUntil(lambda: is_there(window, "reading_dialog"), timeout=5000)
    qtbot.keyClicks(child(window, "reading_name"), "dr test")
    assert not child(window, "reading_begin").isEnabled()  # the same person
    child(window, "reading_name").clear()
    qtbot.keyClicks(child(window, "reading_name"), "Dr Two")
    click(qtbot, window, "reading_begin")
    assert {s.decision.state for s in window.session.structures} == {"unreviewed"}
    assert window.review.reviewer.text() == "Dr Two"
    assert window.review.former.text() == "Dr Test: rejected"
    keys(qtbot, window, "A")
    b = window.session.structures.get("B")
    assert (b.decision.state, b.decision.person) == ("accepted", "Dr Two")
    window.session.replace_mask("A", Mask(b.mask.offset, b.mask.bits[:, :5]), "brush")
    qtbot.waitUntil(lambda: any(Path(window.autosave.folder).glob("reading-*.npz")), timeout=10_000)
    window.made["reading_compare"].trigger()
    qtbot.waitUntil(lambda: is_there(window, "readings_dialog"), timeout=5000)
    dialog = child(window, "readings_dialog")
    qtbot.waitUntil(lambda: dialog.table.rowCount() == 2, timeout=10_000)
    assert dialog.statement.text().startswith("Dr Test and Dr Two both decided on 1 of 2 structures, and alike on 0.")
    assert [dialog.table.item(0, c).text() for c in range(4)] == ["A", "accepted", "unreviewed", "0.667"]
    item = dialog.table.visualItemRect(dialog.table.item(0, 0))
    qtbot.mouseClick(dialog.table.viewport(), LEFT, pos=item.center())
    qtbot.waitUntil(lambda: window.table.active == "A", timeout=5000)
    dialog.close()


def test_blind_mode_hides_until_drawn(qtbot, window):
    window.made["settings"].trigger()
    qtbot.waitUntil(lambda: is_there(window, "settings_dialog"), timeout=5000)
    box = child(window, "settings_blind")
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_Space)
    assert box.isChecked()
    qtbot.keyClick(box, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not is_there(window, "settings_dialog"), timeout=5000)
    assert window.settings.blind
    assert window.session.blind
    propose(window, "A")
    assert window.session.structures.get("A").mask.is_empty
    keys(qtbot, window, "Shift+P")  # nothing drawn yet: not shown, but told
    assert window.session.structures.get("A").blind == "hidden"
    window.session.paint("A", (3, 10, 10), np.ones((1, 8, 8), bool))
    keys(qtbot, window, "Shift+P")
    assert window.session.structures.get("A").blind == "shown"
    qtbot.waitUntil(lambda: window.review.keeper.figures("A") is not None, timeout=10_000)


def test_report_from_the_menu(qtbot, window, tmp_path):
    propose(window, "A", "B")
    keys(qtbot, window, "W")
    keys(qtbot, window, "Ctrl+R")
    qtbot.waitUntil(lambda: is_there(window, "report_dialog"), timeout=5000)
    child(window, "report_folder").setText(str(tmp_path / "out"))
    click(qtbot, window, "report_write")
    qtbot.waitUntil(lambda: is_there(window, "report_show"), timeout=60_000)
    assert child(window, "report_text").text().startswith("Written: ")
    (pdf,), (table,) = (tmp_path / "out").glob("*.pdf"), (tmp_path / "out").glob("*.csv")
    assert pdf.read_bytes().startswith(b"%PDF")
    with table.open(encoding="utf-8-sig", newline="") as file:
        states = [row["decision"] for row in csv.DictReader(file)]
    assert states == ["accepted-edited", "unreviewed"]
    click(qtbot, window, "report_close")
