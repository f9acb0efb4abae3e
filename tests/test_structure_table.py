"""The structure table against a session: both ways, by mouse and by keyboard."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QColorDialog, QLineEdit
from view_phantoms import make_session

from contourdesk.app.errors import UserError
from contourdesk.app.finding import Finding
from contourdesk.widgets.structure_menu import structure_menu
from contourdesk.widgets.structure_model import COLOUR, FINDINGS, LOCK, NAME, SHOW, STATE, VOLUME
from contourdesk.widgets.structure_table import StructureTable

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def session():
    return make_session("axial")


@pytest.fixture
def table(qtbot, session):
    table = StructureTable()
    qtbot.addWidget(table)
    table.resize(640, 400)
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
    qtbot.waitUntil(lambda: "GTV" in texts(table), timeout=5000)
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


# -- groups, findings, lock, solo, names ---------------------------------------------------------------------------


def names(table):
    """Texts of the first column that has any: headings, and names."""
    model = table.view.model()
    return [model.index(r, 0).data() or model.index(r, NAME).data() for r in range(model.rowCount())]


def test_groups_appear_when_there_are_several_and_fold(qtbot, table, session):
    ptv = session.add("PTV_70", interpreted_type="PTV")
    table.set_active(ptv)
    assert names(table) == ["Targets (1)", "PTV_70", "Organs at risk (3)", "Big", "Left", "Empty"]
    qtbot.keyClick(table.view, Qt.Key.Key_Down)
    assert session.structures.get(table.active).name == "Big"  # the heading is stepped over
    click(qtbot, table, 2, NAME)
    assert names(table) == ["Targets (1)", "PTV_70", "Organs at risk (3)"]
    assert session.structures.get(table.active).name == "Big"  # folded, but still the active one
    click(qtbot, table, 2, SHOW)
    table.set_active(session.structures.items[1].id)
    qtbot.keyClick(table.view, Qt.Key.Key_Left)
    assert len(names(table)) == 3
    table.set_active(session.structures.items[2].id)  # from elsewhere: it can be seen
    assert names(table)[-1] == "Empty"
    session.regroup(ptv, "Boost")
    assert names(table)[0] == "Boost (1)"
    session.undo()
    assert names(table)[0] == "Targets (1)"


def test_search_finds_in_folded_groups_and_leads_to_the_list(qtbot, table, session):
    session.add("PTV_70", interpreted_type="PTV")
    table.rows.toggle("Organs at risk")
    qtbot.keyClick(table.view, Qt.Key.Key_Slash)
    assert table.window().focusWidget() is table.search
    qtbot.keyClicks(table.search, "lef")
    assert names(table) == ["Organs at risk (1)", "Left"]
    qtbot.keyClick(table.search, Qt.Key.Key_Return)
    assert table.window().focusWidget() is table.view
    assert session.structures.get(table.active).name == "Left"
    qtbot.keyClick(table.search, Qt.Key.Key_Escape)
    assert table.search.text() == ""


def test_a_new_name_moves_a_structure_to_its_group(qtbot, table, session):
    big = session.structures.items[0]
    table.view.setFocus()
    table.set_active(big.id)
    qtbot.keyClick(table.view, Qt.Key.Key_F2)
    editor = table.view.findChild(QLineEdit)
    assert editor.completer() is not None
    editor.selectAll()
    qtbot.keyClicks(editor, "PTV_60")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: names(table)[:2] == ["Targets (1)", "PTV_60"], timeout=5000)
    assert table.active == big.id


def test_findings_are_counted_and_told(table, session):
    big, left, _ = session.structures
    found = [Finding(big.id, "info", "one"), Finding(big.id, "error", "two"), Finding(left.id, "warning", "three")]
    table.set_findings(found)
    assert texts(table, FINDINGS) == ["2", "1", None]
    assert table.model.index(0, FINDINGS).data(Qt.ItemDataRole.ToolTipRole) == "one\ntwo"
    table.set_findings(None)
    assert texts(table, FINDINGS) == [None] * 3


def test_a_click_locks_and_a_locked_one_is_not_deleted(qtbot, table, session):
    big = session.structures.items[0]
    click(qtbot, table, 0, LOCK)
    assert session.is_locked(big.id)
    assert not table.model.index(0, LOCK).data(Qt.ItemDataRole.DecorationRole).isNull()
    with qtbot.waitSignal(table.failed):
        table.delete()
    assert session.structures.items[0].id == big.id
    click(qtbot, table, 0, LOCK)
    assert not session.is_locked(big.id)


def test_solo_shows_one_alone_follows_the_list_and_gives_back(qtbot, table, session):
    big, left, empty = (s.id for s in session.structures)
    table.model.set_visible(empty, False)
    rect = table.view.visualRect(table.view.model().index(1, SHOW))
    qtbot.mouseClick(table.view.viewport(), LEFT, Qt.KeyboardModifier.AltModifier, rect.center())
    assert (table.model.hidden, table.active, table.solo) == ({big, empty}, left, True)
    qtbot.keyClick(table.view, Qt.Key.Key_Up)
    assert table.model.hidden == {left, empty}
    table.toggle_solo()
    assert (table.model.hidden, table.solo) == ({empty}, False)


def test_the_standard_name_is_offered_until_it_is_taken(qtbot, table, session):
    big = session.structures.items[0]
    assert table.suggestion.isHidden()
    session.rename(big.id, "Right Parotid")
    assert table.suggestion.isVisible()
    assert table.suggest_button.text() == "Parotid_R"
    qtbot.mouseClick(table.suggest_button, LEFT)
    assert session.structures.items[0].name == "Parotid_R"
    assert table.suggestion.isHidden()


def test_a_narrow_table_shows_states_as_icons(qtbot, table):
    assert texts(table, STATE) == ["open"] * 3
    table.resize(200, 400)
    qtbot.wait(20)
    assert texts(table, STATE) == [None] * 3
    assert table.model.index(0, STATE).data(Qt.ItemDataRole.AccessibleTextRole) == "open"


def test_the_menu_of_a_row_jumps_and_groups(qtbot, table, session):
    big = session.structures.items[0]
    menu = structure_menu(table, big)
    by_text = {a.text(): a for a in menu.actions()}
    with qtbot.waitSignal(table.jump_wanted) as blocker:
        by_text["Last slice\tEnd"].trigger()
    assert blocker.args == [big.id, "last"]
    by_text["Lock"].trigger()
    assert session.is_locked(big.id)
    menu.deleteLater()
