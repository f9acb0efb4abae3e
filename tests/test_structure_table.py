"""The structure table against a session: both ways, by mouse and by keyboard."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QColorDialog, QLineEdit
from view_phantoms import make_session

from contourdesk.app.errors import UserError
from contourdesk.widgets.structure_table import COLOUR, NAME, SHOW, STATE, VOLUME, StructureTable

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def session():
    return make_session("axial")


@pytest.fixture
def table(qtbot, session):
    table = StructureTable()
    qtbot.addWidget(table)
    table.resize(360, 400)
    table.show()
    qtbot.waitExposed(table)
    table.set_session(session)
    return table


def texts(table: StructureTable, column: int = NAME) -> list[str]:
    model = table.view.model()
    return [model.index(row, column).data() for row in range(model.rowCount())]


def click(qtbot, table: StructureTable, row: int, column: int) -> None:
    rect = table.view.visualRect(table.view.model().index(row, column))
    qtbot.mouseClick(table.view.viewport(), LEFT, pos=rect.center())


def test_shows_names_volumes_and_states(table, session):
    assert texts(table) == ["Big", "Left", "Empty"]
    grid = session.structures.grid
    assert texts(table, VOLUME) == [f"{s.volume_ml(grid):.1f}" for s in session.structures]
    assert texts(table, STATE) == ["open"] * 3


def test_first_structure_is_active_and_a_click_changes_it(qtbot, table, session):
    big, left, _ = session.structures
    assert table.active == big.id
    with qtbot.waitSignal(table.active_changed) as blocker:
        click(qtbot, table, 1, NAME)
    assert blocker.args == [left.id]
    qtbot.keyClick(table.view, Qt.Key.Key_Up)
    assert table.active == big.id


def test_follows_the_session(table, session):
    big = session.structures.items[0]
    session.decide(big.id, "accepted")
    assert texts(table, STATE)[0] == "accepted"
    bits = big.mask.bits.copy()
    bits[:] = False
    session.paint(big.id, big.mask.offset, bits)
    assert texts(table, VOLUME)[0] == "0.0"
    new = session.add("Node")
    assert texts(table)[-1] == "Node"
    session.rename(new, "Node II")
    assert texts(table)[-1] == "Node II"
    session.undo()
    session.undo()
    assert texts(table) == ["Big", "Left", "Empty"]
    assert table.active == big.id


def test_eye_hides_and_shows(qtbot, table, session):
    left = session.structures.items[1]
    with qtbot.waitSignal(table.visibility_changed) as blocker:
        click(qtbot, table, 1, SHOW)
    assert blocker.args == [left.id, False]
    table.view.setFocus()
    with qtbot.waitSignal(table.visibility_changed) as blocker:
        qtbot.keyClick(table.view, Qt.Key.Key_Space)
    assert blocker.args == [left.id, True]
    qtbot.mouseClick(table.findChild(type(table.add_button), "hide_all"), LEFT)
    assert table.model.hidden == {s.id for s in session.structures}


def test_rename_with_f2(qtbot, table, session):
    click(qtbot, table, 1, NAME)
    qtbot.keyClick(table.view, Qt.Key.Key_F2)
    editor = table.view.findChild(QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, "Parotid_L")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: session.structures.items[1].name == "Parotid_L", timeout=5000)
    assert session.undo_text == "Rename Left to Parotid_L"


def test_a_taken_name_is_told_and_changes_nothing(qtbot, table, session):
    index = table.model.index(1, NAME)
    with qtbot.waitSignal(table.failed) as blocker:
        assert not table.model.setData(index, "big")
    assert isinstance(blocker.args[0], UserError)
    assert texts(table) == ["Big", "Left", "Empty"]


def test_add_opens_the_name_for_typing(qtbot, table, session):
    qtbot.mouseClick(table.add_button, LEFT)
    editor = table.view.findChild(QLineEdit)
    assert editor is not None
    qtbot.keyClicks(editor, "GTV")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: texts(table)[-1] == "GTV", timeout=5000)
    assert session.structures.get(table.active).name == "GTV"


def test_delete_makes_a_neighbour_active_and_undo_brings_it_back(qtbot, table, session):
    click(qtbot, table, 1, NAME)
    table.view.setFocus()
    qtbot.keyClick(table.view, Qt.Key.Key_Delete)
    assert texts(table) == ["Big", "Empty"]
    assert session.structures.get(table.active).name == "Empty"
    session.undo()
    assert texts(table) == ["Big", "Left", "Empty"]
    for _ in range(3):
        qtbot.mouseClick(table.delete_button, LEFT)
    assert texts(table) == []
    assert table.active is None
    assert table.empty.isVisible()
    assert not table.delete_button.isEnabled()


def test_colour_dialog(qtbot, table, session):
    click(qtbot, table, 0, COLOUR)
    dialog = next(w for w in QApplication.topLevelWidgets() if isinstance(w, QColorDialog) and w.isVisible())
    dialog.setCurrentColor(Qt.GlobalColor.cyan)
    dialog.accept()
    assert session.structures.items[0].colour == (0, 255, 255)


def test_search_filters_and_keeps_the_active_structure(qtbot, table, session):
    active = table.active
    qtbot.keyClicks(table.search, "LEF")
    assert texts(table) == ["Left"]
    assert table.active == active
    table.search.clear()
    assert len(texts(table)) == 3


def test_another_session_and_none(qtbot, table, session):
    other = make_session("ras")
    table.set_session(other)
    session.rename(session.structures.items[0].id, "Old")
    assert texts(table) == ["Big", "Left", "Empty"]
    assert table.active == other.structures.items[0].id
    table.set_session(None)
    assert texts(table) == []
    assert table.active is None
    assert not table.isEnabled()


def test_a_hundred_structures_are_quick_to_update(table, session):
    for i in range(100):
        session.add(f"S{i}")
    assert len(texts(table)) == 103
