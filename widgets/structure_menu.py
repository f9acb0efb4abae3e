"""The menu of a row of the structure table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QInputDialog, QLineEdit, QMenu

from contourdesk.app.naming import suggest
from contourdesk.app.structures import Structure
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import icon

if TYPE_CHECKING:
    from contourdesk.widgets.structure_table import StructureTable


def structure_menu(table: StructureTable, structure: Structure) -> QMenu:
    """What can be done with one structure."""
    menu = QMenu(table)
    menu.setObjectName("structure_menu")
    better = suggest(structure.name)
    if better is not None and better != structure.name:
        menu.addAction(
            tr("Rename to {better} (TG-263)").format(better=better), lambda: table.rename_to(structure.id, better)
        )
    menu.addAction(icon("rename"), tr("Rename\tF2"), table.rename)
    menu.addAction(icon("colour"), tr("Colour…"), table.recolour)
    menu.addAction(
        icon("lock"), tr("Unlock") if structure.locked else tr("Lock"), lambda: table.toggle_locked(structure.id)
    )
    menu.addSeparator()
    menu.addAction(tr("Show alone, or all again\tY"), table.toggle_solo)
    for text, where in (
        (tr("Centre\tC"), "centre"),
        (tr("First slice\tHome"), "first"),
        (tr("Last slice\tEnd"), "last"),
    ):
        menu.addAction(text, lambda where=where: table.jump_wanted.emit(structure.id, where))
    menu.addSeparator()
    _add_groups(menu.addMenu(tr("Group")), table, structure)
    menu.addSeparator()
    menu.addAction(icon("delete"), tr("Delete\tDel"), table.delete)
    return menu


def _add_groups(menu: QMenu, table: StructureTable, structure: Structure) -> None:
    own = sorted({s.group for s in table.model.items() if s.group}, key=str.casefold)
    for text, group in ((tr("By type"), ""), *((name, name) for name in own)):
        action = menu.addAction(text, lambda group=group: table.regroup(structure.id, group))
        action.setCheckable(True)
        action.setChecked(structure.group == group)
    menu.addSeparator()
    menu.addAction(tr("New group…"), lambda: _ask_group(table, structure.id))


def _ask_group(table: StructureTable, structure_id: str) -> None:
    dialog = QInputDialog(table)
    dialog.setObjectName("group_dialog")
    dialog.setWindowTitle(tr("New group"))
    dialog.setLabelText("Name of the group")
    dialog.setInputMode(QInputDialog.InputMode.TextInput)
    dialog.setTextEchoMode(QLineEdit.EchoMode.Normal)
    dialog.textValueSelected.connect(lambda text: table.regroup(structure_id, text))
    dialog.open()
