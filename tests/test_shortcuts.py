"""Shortcuts: who has which key once the user changed some, the dialog for it, and the window that follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QKeySequenceEdit, QLabel, QMainWindow, QPushButton, QTreeWidget

from contourdesk.app.settings import Settings, load_settings, save_settings
from contourdesk.app.shortcuts import assign, in_force, owner, reset
from contourdesk.widgets.actions import Action, defaults_of, make_actions, set_shortcuts
from contourdesk.widgets.shortcuts_dialog import ShortcutsDialog

DEFAULTS = {"paint": ("B",), "erase": ("E",), "redo": ("Ctrl+Y", "Ctrl+Shift+Z"), "sample": ()}


def test_the_users_choice_wins_over_defaults() -> None:
    assert in_force(DEFAULTS, {}) == DEFAULTS
    now = in_force(DEFAULTS, {"paint": ("E",), "gone with an update": ("X",)})
    assert now == {**DEFAULTS, "paint": ("E",), "erase": ()}
    assert owner(now, "E") == "paint" and owner(now, "B") is None


def test_assign_takes_a_key_from_its_owner_and_reset_gives_it_back() -> None:
    changed = assign(DEFAULTS, {}, "paint", ("Ctrl+Y",))
    assert changed == {"paint": ("Ctrl+Y",), "redo": ("Ctrl+Shift+Z",)}
    assert reset(DEFAULTS, changed, "redo") == {"paint": ()}
    assert reset(DEFAULTS, changed, "paint") == {"redo": ("Ctrl+Shift+Z",)}
    assert assign(DEFAULTS, changed, "sample", ()) == changed
    with pytest.raises(KeyError):
        assign(DEFAULTS, {}, "no such", ("Q",))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(DEFAULTS)),
            st.sampled_from([(), ("B",), ("E",), ("Q",), ("Ctrl+Y",), ("B", "Q")]),
        )
    )
)
def test_no_key_ever_means_two_things(steps) -> None:
    changed: dict[str, tuple[str, ...]] = {}
    for command, keys in steps:
        changed = assign(DEFAULTS, changed, command, keys)
        now = in_force(DEFAULTS, changed)
        used = [key for its in now.values() for key in its]
        assert now[command] == keys and len(used) == len(set(used))


def test_changed_keys_are_kept_in_the_settings(tmp_path) -> None:
    path = tmp_path / "settings.json"
    save_settings(Settings(shortcuts={"paint": ("P", "Ctrl+P"), "erase": ()}), path)
    assert load_settings(path)[0].shortcuts == {"paint": ("P", "Ctrl+P"), "erase": ()}
    path.write_text('{"shortcuts": {"paint": "P", "erase": ["E", 3], "x": null, "fill": ["F"]}}')
    assert load_settings(path)[0].shortcuts == {"fill": ("F",)}
    path.write_text('{"shortcuts": [1]}')
    assert load_settings(path)[0].shortcuts == {}


@pytest.fixture
def dialog(qtbot):
    """A window with four commands and its dialog."""
    window = QMainWindow()
    qtbot.addWidget(window)
    window.done = []
    window.list = [
        Action(key, "Edit", key.capitalize(), keys, lambda key=key: window.done.append(key))
        for key, keys in DEFAULTS.items()
    ]
    window.made = make_actions(window, window.list)
    window.show()
    box = ShortcutsDialog(window, window.list, {}, [("Wheel", "Next slice")])
    box.changed.connect(lambda changed: set_shortcuts(window.made, window.list, changed))
    box.show()
    qtbot.waitExposed(box)
    return window, box


def press(box, command, key):
    """Choose a command and press a key for it."""
    box.choose(command)
    edit = box.findChild(QKeySequenceEdit, "shortcut_key")
    QTest.mouseClick(box.findChild(QPushButton, "shortcut_change"), Qt.MouseButton.LeftButton)
    edit.setKeySequence(QKeySequence(key))


def test_a_key_is_pressed_a_conflict_is_shown_and_all_follow(dialog) -> None:
    window, box = dialog
    tree = box.findChild(QTreeWidget, "shortcut_list")
    note = box.findChild(QLabel, "shortcut_note")
    apply = box.findChild(QPushButton, "shortcut_set")
    press(box, "paint", "Q")
    assert apply.isEnabled()
    QTest.mouseClick(apply, Qt.MouseButton.LeftButton)
    assert window.made["paint"].shortcut().toString() == "Q" and "(Q)" in window.made["paint"].toolTip()
    press(box, "paint", "E")
    assert note.text() == "E is used by Erase, which would have no key then."
    QTest.mouseClick(apply, Qt.MouseButton.LeftButton)
    assert window.made["erase"].shortcuts() == [] and window.made["erase"].toolTip() == "Erase"
    assert [item.text(1) for item in box.rows() if item.text(0) in ("Paint", "Erase")] == ["E", ""]
    press(box, "paint", "Up")
    assert "can't be changed" in note.text() and not apply.isEnabled()
    box.choose("erase")
    QTest.mouseClick(box.findChild(QPushButton, "shortcut_default"), Qt.MouseButton.LeftButton)
    assert window.made["erase"].shortcut().toString() == "E" and window.made["paint"].shortcuts() == []
    QTest.mouseClick(box.findChild(QPushButton, "shortcut_all_defaults"), Qt.MouseButton.LeftButton)
    assert window.made["paint"].shortcut().toString() == "B"
    assert tree.topLevelItemCount() == 2 and defaults_of(window.list) == DEFAULTS
    texts = [item.text(0) for item in box.rows()]
    assert "Next slice" in texts
    box.editor.search.setText("ctrl+y")
    assert [item.text(0) for item in box.rows() if not item.isHidden()] == ["Redo"]


def test_a_real_key_press_is_taken(dialog, qtbot) -> None:
    window, box = dialog
    box.choose("sample")
    QTest.mouseClick(box.findChild(QPushButton, "shortcut_change"), Qt.MouseButton.LeftButton)
    edit = box.findChild(QKeySequenceEdit, "shortcut_key")
    QTest.keyClick(edit, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: box.findChild(QPushButton, "shortcut_set").isEnabled())
    QTest.mouseClick(box.findChild(QPushButton, "shortcut_set"), Qt.MouseButton.LeftButton)
    assert window.made["sample"].shortcut().toString() == "Ctrl+K"
