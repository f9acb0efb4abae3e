"""Every command of the window in one list: menus, toolbar, shortcuts and the list of shortcuts are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QWidget

from contourdesk.app.shortcuts import Keys, Table, in_force
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import icon


@dataclass(frozen=True)
class Action:
    """One command.

    Parameters
    ----------
    id : also the QAction's object name;  menu : the menu that it stands in;  text : what it is called. Both in English,
        translated when they are shown.
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


def make_actions(window: QWidget, actions: Sequence[Action], changed: Table | None = None) -> dict[str, QAction]:
    """QActions of the list, added to `window` so that their shortcuts work all over it.

    `changed` are the user's own keys, see `app.shortcuts`.
    """
    made = {}
    for action in actions:
        item = QAction(tr(action.text), window)
        item.setObjectName(action.id)
        if action.icon:
            item.setIcon(icon(action.icon))
        item.triggered.connect(lambda _=False, action=action: action.function() if action.enabled() else None)
        window.addAction(item)
        made[action.id] = item
    set_shortcuts(made, actions, changed or {})
    return made


def set_shortcuts(made: Mapping[str, QAction], actions: Sequence[Action], changed: Table) -> None:
    """Give the QActions their keys, the defaults or the user's own; tool tips say them."""
    keys = in_force(defaults_of(actions), changed)
    for action in actions:
        item = made[action.id]
        item.setShortcuts([QKeySequence(key) for key in keys[action.id]])
        first = native_text(keys[action.id][0]) if keys[action.id] else ""
        item.setToolTip(f"{tr(action.text)} ({first})" if first else tr(action.text))


def defaults_of(actions: Sequence[Action]) -> dict[str, Keys]:
    """The default keys of all commands."""
    return {action.id: action.shortcuts for action in actions}


def native_text(key: str) -> str:
    """A portable key name as this system writes it."""
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
