"""Every command of the window in one list: menus, toolbar, shortcuts and the list of shortcuts are made from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from contourdesk.widgets.theme import em, icon, named, set_role


@dataclass(frozen=True)
class Action:
    """One command.

    Parameters
    ----------
    id : also the QAction's object name;  menu : the menu that it stands in.
    shortcuts : portable key names, the first is shown;  function : what it does;  enabled : whether it can be done now.
    icon : name in ``resources/icons``; with one it may stand in the toolbar.
    """

    id: str
    menu: str
    text: str
    shortcuts: tuple[str, ...]
    function: Callable[[], object]
    enabled: Callable[[], bool] = lambda: True
    icon: str = ""
    toolbar: bool = False


def make_actions(window: QWidget, actions: Sequence[Action]) -> dict[str, QAction]:
    """QActions of the list, added to `window` so that their shortcuts work all over it."""
    made = {}
    for action in actions:
        item = QAction(action.text, window)
        item.setObjectName(action.id)
        item.setShortcuts([QKeySequence(key) for key in action.shortcuts])
        if action.icon:
            item.setIcon(icon(action.icon))
        key = item.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        item.setToolTip(f"{action.text} ({key})" if key else action.text)
        item.triggered.connect(lambda _=False, action=action: action.function() if action.enabled() else None)
        window.addAction(item)
        made[action.id] = item
    return made


def shortcuts_dialog(parent: QWidget, actions: Sequence[Action], more: Sequence[tuple[str, str]]) -> QDialog:
    """A dialog that lists all shortcuts; `more` are (keys, what they do) of things that are not actions."""
    dialog = QDialog(parent)
    dialog.setObjectName("shortcuts_dialog")
    dialog.setWindowTitle("Keyboard and mouse")
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    page = QWidget()
    grid = QGridLayout(page)
    grid.setHorizontalSpacing(em(dialog, 1.5))
    grid.setVerticalSpacing(em(dialog, 0.3))
    groups: dict[str, list[tuple[str, str]]] = {}
    for action in actions:
        if action.shortcuts:
            keys = ", ".join(QKeySequence(k).toString(QKeySequence.SequenceFormat.NativeText) for k in action.shortcuts)
            groups.setdefault(action.menu, []).append((keys, action.text.rstrip("…")))
    if more:
        groups["Images and list"] = list(more)
    half = sum(len(rows) + 1 for rows in groups.values()) / 2
    row, column = 0, 0
    for title, rows in groups.items():
        if column == 0 and row >= half:
            row, column = 0, 3
        heading = QLabel(title)
        set_role(heading, "heading")
        grid.addWidget(heading, row, column, 1, 2)
        row += 1
        for keys, text in rows:
            key = QLabel(keys)
            set_role(key, "strong")
            grid.addWidget(key, row, column, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(QLabel(text), row, column + 1)
            row += 1
    grid.setColumnMinimumWidth(2, em(dialog, 2))
    grid.setRowStretch(grid.rowCount(), 1)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setWidget(page)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    named(buttons, "shortcuts_buttons")
    layout = QVBoxLayout(dialog)
    layout.addWidget(scroll, 1)
    layout.addWidget(buttons)
    hint = page.sizeHint()
    dialog.resize(hint.width() + em(dialog, 3), min(hint.height() + em(dialog, 5), parent.height()))
    return dialog
