"""The list of structures, with search and groups; the selected row is the active structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QModelIndex, QPoint, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import QColorDialog, QHBoxLayout, QLabel, QLineEdit, QToolButton, QVBoxLayout, QWidget

from contourdesk.app.errors import UserError
from contourdesk.app.finding import Finding
from contourdesk.app.naming import suggest
from contourdesk.app.review import ReviewSession
from contourdesk.widgets.language import tr
from contourdesk.widgets.structure_menu import structure_menu
from contourdesk.widgets.structure_model import COLOUR, ID_ROLE, LOCK, NAME, SHOW, StructureModel
from contourdesk.widgets.structure_rows import StructureRows
from contourdesk.widgets.structure_view import StructureView
from contourdesk.widgets.theme import em, icon, icon_size, named, set_role


class _Search(QLineEdit):
    """A search field from which Down and Enter lead to the list."""

    left = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go to what was found; Esc takes the search back."""
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.left.emit()
        elif event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        else:
            super().keyPressEvent(event)


class StructureTable(QWidget):
    """Search field, table and buttons.

    `active_changed` carries a structure id or None, `visibility_changed` an id and whether it is shown, `jump_wanted`
    an id and "centre", "first" or "last" (slice), `failed` an exception for the user.
    """

    active_changed = Signal(object)
    visibility_changed = Signal(str, bool)
    jump_wanted = Signal(str, str)
    failed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("structure_table")
        self._active: str | None = None
        self._solo: set[str] | None = None  # what was hidden before one structure was shown alone
        self.model = StructureModel(self)
        self.model.swatch_px = em(self, 0.75)
        self.rows = StructureRows(self.model, self)
        self.search = _Search()
        named(
            self.search, "structure_search", tr("Search structures"), tr("Search structures (Ctrl+F, or / in the list)")
        )
        self.search.setPlaceholderText(tr("Search structures"))
        self.search.setClearButtonEnabled(True)
        self.view = StructureView(self.rows)
        self.empty = QLabel(tr("No structures yet. Segment, or add one to draw it yourself."))
        named(self.empty, "no_structures")
        self.empty.setWordWrap(True)
        set_role(self.empty, "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(em(self, 0.5), em(self, 0.3), em(self, 0.5), em(self, 0.5))
        layout.addWidget(self.search)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.empty)
        layout.addWidget(self._make_suggestion())
        layout.addLayout(self._make_buttons())
        self._connect()
        self._refresh()

    def _make_suggestion(self) -> QWidget:
        """A line that is there only while the active structure has another name than TG-263 would give it."""
        self.suggestion = QWidget()
        row = QHBoxLayout(self.suggestion)
        row.setContentsMargins(0, 0, 0, 0)
        label = QLabel(tr("TG-263:"))
        set_role(label, "muted")
        self.suggest_button = QToolButton()
        named(self.suggest_button, "use_standard_name", tr("Rename to the standard name"))
        self.suggest_button.clicked.connect(self._use_suggestion)
        row.addWidget(label)
        row.addWidget(self.suggest_button)
        row.addStretch(1)
        self.suggestion.hide()
        return self.suggestion

    def _make_buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(em(self, 0.2))
        for name, tip, slot in (
            ("add", tr("Add an empty structure to draw"), self.add),
            ("rename", tr("Rename (F2)"), self.rename),
            ("colour", tr("Change the colour"), self.recolour),
            ("delete", tr("Delete (Del); undo brings it back"), self.delete),
        ):
            button = QToolButton()
            named(button, f"structure_{name}", tip, tip)
            button.setIcon(icon(name))
            button.setIconSize(icon_size(self))
            button.clicked.connect(slot)
            row.addWidget(button)
            setattr(self, f"{name}_button", button)
        row.addStretch(1)
        for name, visible in ((tr("Show all"), True), (tr("Hide all"), False)):
            button = QToolButton()
            named(button, "show_all" if visible else "hide_all", tr("{name} structures").format(name=name))
            button.setText(name)
            button.clicked.connect(lambda _=False, visible=visible: self.show_all(visible))
            row.addWidget(button)
        return row

    def _connect(self) -> None:
        self.search.textChanged.connect(self._filter)
        self.search.left.connect(self._to_list)
        self.view.clicked.connect(self._on_click)
        self.rows.modelAboutToBeReset.connect(self._begin_quiet)
        self.rows.modelReset.connect(self._refresh)
        self.model.visibility_changed.connect(self.visibility_changed)
        self.model.failed.connect(self.failed)
        self.model.dataChanged.connect(lambda *_: self._show_suggestion())
        self.view.selectionModel().currentRowChanged.connect(self._on_current)
        self.view.toggled.connect(self.toggle_visible)
        self.view.deleted.connect(self.delete)
        self.view.searched.connect(self.to_search)
        self.view.folded.connect(self.rows.toggle)
        self.view.alone.connect(lambda index: self._alone(str(index.data(ID_ROLE))))
        self.view.words_fit.connect(self.model.set_words)
        self.view.customContextMenuRequested.connect(self._on_menu)

    # -- what the window uses -------------------------------------------------------------------------------------

    @property
    def active(self) -> str | None:
        """Id of the active structure."""
        return self._active

    def set_session(self, session: ReviewSession | None) -> None:
        """Show a session; its first structure becomes active."""
        self._active, self._last_row, self._solo = None, 0, None
        self.search.clear()
        self.model.set_session(session)
        self.setEnabled(session is not None)

    def set_active(self, structure_id: str | None) -> None:
        """Select a structure's row; `active_changed` follows when it was another one."""
        row = self.model.row_of(structure_id)
        if row is not None and structure_id != self._active and self.rows.row_for(row) is None:
            self.rows.unfold_row(row)
        shown = self.rows.row_for(row)
        self.view.setCurrentIndex(QModelIndex() if shown is None else self.rows.index(shown, NAME))
        self._set_active(structure_id if row is not None else None)

    def set_findings(self, found: Sequence[Finding] | None) -> None:
        """Count for each structure what the checks found."""
        self.model.set_findings(found)

    def to_search(self) -> None:
        """Begin to type into the search field."""
        self.search.setFocus()
        self.search.selectAll()

    def show_all(self, visible: bool) -> None:
        """Show or hide every structure."""
        self._solo = None
        for s in self.model.items():
            self.model.set_visible(s.id, visible)

    def toggle_visible(self) -> None:
        """Show or hide the active structure."""
        if self._active is not None:
            self._solo = None
            self.model.set_visible(self._active, self._active in self.model.hidden)

    @property
    def solo(self) -> bool:
        """Whether the active structure is shown alone; another that becomes active is then shown in its place."""
        return self._solo is not None

    def toggle_solo(self) -> None:
        """Show the active structure alone, or those that were shown before."""
        if self._solo is not None:
            hidden, self._solo = self._solo, None
            self._hide(hidden)
        elif self._active is not None:
            self._solo = set(self.model.hidden)
            self._hide({s.id for s in self.model.items()} - {self._active})

    def _alone(self, structure_id: str) -> None:
        """Alt+click on an eye: that structure alone, or all again when it is alone already."""
        if self._solo is not None and structure_id != self._active:
            self.set_active(structure_id)
            return
        self.set_active(structure_id)
        self.toggle_solo()

    def _hide(self, hidden: set[str]) -> None:
        for s in self.model.items():
            self.model.set_visible(s.id, s.id not in hidden)

    def toggle_locked(self, structure_id: str) -> None:
        """Lock a structure against changes, or unlock it."""
        session = self.model.session
        if session is not None:
            self._try(lambda: session.set_locked(structure_id, not session.is_locked(structure_id)))

    def regroup(self, structure_id: str, group: str) -> None:
        """Put a structure under a heading of the reviewer's own; empty: by its type."""
        session = self.model.session
        if session is not None:
            self._try(lambda: session.regroup(structure_id, group))

    def rename_to(self, structure_id: str, name: str) -> None:
        """Give a structure a name."""
        session = self.model.session
        if session is not None:
            self._try(lambda: session.rename(structure_id, name))

    def _try(self, function: Callable[[], object]) -> None:
        try:
            function()
        except UserError as error:
            self.failed.emit(error)

    def add(self) -> None:
        """Add an empty structure and let the user type its name."""
        session = self.model.session
        if session is None:
            return
        self.search.clear()
        before = len(session.structures)
        self._try(lambda: self.set_active(session.add("New structure")))
        if len(session.structures) > before:
            self.rename()

    def rename(self) -> None:
        """Open the name of the active structure for editing."""
        index = self.view.currentIndex()
        if index.isValid():
            self.view.setFocus()
            self.view.edit(index.siblingAtColumn(NAME))

    def recolour(self) -> None:
        """Let the user choose the active structure's colour."""
        session, structure_id = self.model.session, self._active
        if session is None or structure_id is None:
            return
        dialog = QColorDialog(QColor(*session.structures.get(structure_id).colour), self)
        dialog.setObjectName("colour_dialog")
        dialog.setOption(QColorDialog.ColorDialogOption.DontUseNativeDialog)
        dialog.setWindowTitle(tr("Colour of {name}").format(name=session.structures.get(structure_id).name))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(
            lambda c: self._try(lambda: session.recolour(structure_id, (c.red(), c.green(), c.blue())))
        )
        dialog.open()

    def delete(self) -> None:
        """Delete the active structure."""
        if self.model.session is not None and self._active is not None:
            session, active = self.model.session, self._active
            self._try(lambda: session.delete(active))

    # -- slots ----------------------------------------------------------------------------------------------------

    def _on_click(self, index: QModelIndex) -> None:
        structure_id = str(index.data(ID_ROLE))
        if index.column() == SHOW:
            self._solo = None
            self.model.set_visible(structure_id, structure_id in self.model.hidden)
        elif index.column() == COLOUR:
            self.recolour()
        elif index.column() == LOCK:
            self.toggle_locked(structure_id)

    def _on_menu(self, at: QPoint) -> None:
        index = self.view.indexAt(at)
        if not index.isValid():  # the menu key without a place
            index = self.view.currentIndex()
        row = self.model.row_of(index.data(ID_ROLE)) if index.isValid() else None
        if row is not None:
            structure = self.model.items()[row]
            self.set_active(structure.id)
            menu = structure_menu(self, structure)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(self.view.viewport().mapToGlobal(at))

    def _to_list(self) -> None:
        first = self.rows.first_structure()
        if first is not None:
            if self.rows.row_for(self.model.row_of(self._active)) is None:
                self.view.setCurrentIndex(self.rows.index(first, NAME))
            self.view.setFocus()

    def _show_suggestion(self) -> None:
        row = self.model.row_of(self._active)
        name = "" if row is None else self.model.items()[row].name
        better = suggest(name) if name else None
        self.suggestion.setVisible(better is not None and better != name)
        self.suggest_button.setText(better or "")
        self.suggest_button.setToolTip(tr("Rename {name} to its name in AAPM TG-263").format(name=name))

    def _use_suggestion(self) -> None:
        if self._active is not None:
            self.rename_to(self._active, self.suggest_button.text())

    def _on_current(self, index: QModelIndex) -> None:
        if index.isValid() and not self._quiet and index.data(ID_ROLE):  # else rows came or went: nobody's choice
            self._set_active(str(index.data(ID_ROLE)))

    def _set_active(self, structure_id: str | None) -> None:
        for button in (self.rename_button, self.colour_button, self.delete_button):  # type: ignore[attr-defined]
            button.setEnabled(structure_id is not None)
        self._last_row = self.model.row_of(structure_id) or 0
        if structure_id != self._active:
            self._active = structure_id
            if self._solo is not None and structure_id is not None:
                self._hide({s.id for s in self.model.items()} - {structure_id})
            self.active_changed.emit(structure_id)
        self._show_suggestion()

    def _filter(self, text: str) -> None:
        self.rows.set_search(text)

    def _begin_quiet(self) -> None:
        self._quiet = True

    def _refresh(self) -> None:
        """Rows came or went: keep the active structure, or take the one in its place."""
        self._quiet = False
        items = self.model.items()
        self.empty.setVisible(not items and self.model.session is not None)
        if self.model.row_of(self._active) is not None:
            self.set_active(self._active)
        else:
            self.set_active(items[min(self._last_row, len(items) - 1)].id if items else None)

    _last_row = 0
    _quiet = False
