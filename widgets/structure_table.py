"""The list of structures: colour, show or hide, name, volume, state; the selected row is the active structure."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.errors import UserError
from contourdesk.app.review import Change, ReviewSession
from contourdesk.app.structures import Mask, Structure
from contourdesk.widgets.theme import em, icon, icon_size, named, set_role, swatch

SHOW, COLOUR, NAME, VOLUME, STATE = range(5)
HEADERS = ("", "", "Name", "ml", "State")
Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole
_ID_ROLE = _Role.UserRole


def state_text(structure: Structure) -> str:
    """The state in one word: accepted, rejected, edited or open."""
    if structure.decision.state != "unreviewed":
        return "accepted" if structure.decision.accepted else structure.decision.state
    return "edited" if structure.edited and structure.provenance.model else "open"


class StructureModel(QAbstractTableModel):
    """A session's structures as table rows, in the session's order."""

    visibility_changed = Signal(str, bool)
    failed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: ReviewSession | None = None
        self.hidden: set[str] = set()
        self._volumes: dict[str, tuple[Mask, float]] = {}
        self.swatch_px = 12

    def set_session(self, session: ReviewSession | None) -> None:
        """Show this session's structures, all visible."""
        if self.session is not None:
            self.session.changed.disconnect(self.on_change, missing_ok=True)
        self.beginResetModel()
        self.session, self.hidden, self._volumes = session, set(), {}
        self.endResetModel()
        if session is not None:
            session.changed.connect(self.on_change)

    def on_change(self, change: Change) -> None:
        """Follow one change of the session."""
        row = self.row_of(change.structure_id)
        if change.what in ("added", "removed", "reset") or row is None:
            self.beginResetModel()
            self.endResetModel()
            return
        self.dataChanged.emit(self.index(row, 0), self.index(row, STATE))

    def items(self) -> tuple[Structure, ...]:
        """The structures, in row order."""
        return () if self.session is None else self.session.structures.items

    def row_of(self, structure_id: str | None) -> int | None:
        """Row of a structure, or None."""
        return next((i for i, s in enumerate(self.items()) if s.id == structure_id), None)

    def set_visible(self, structure_id: str, visible: bool) -> None:
        """Show or hide one structure."""
        if visible == (structure_id not in self.hidden):
            return
        (self.hidden.discard if visible else self.hidden.add)(structure_id)
        row = self.row_of(structure_id)
        if row is not None:
            self.dataChanged.emit(self.index(row, SHOW), self.index(row, SHOW))
            self.visibility_changed.emit(structure_id, visible)

    def volume_ml(self, structure: Structure) -> float:
        """Volume in ml; counted once for each mask."""
        known = self._volumes.get(structure.id)
        if known is None or known[0] is not structure.mask:
            grid = self.session.structures.grid  # type: ignore[union-attr]
            known = (structure.mask, structure.volume_ml(grid))
            self._volumes[structure.id] = known
        return known[1]

    # Qt's own names from here on.

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.items())

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return len(HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == _Role.DisplayRole:
            return HEADERS[section]
        if role == _Role.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section == VOLUME else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == NAME else flags

    def data(self, index: Index, role: int = _Role.DisplayRole) -> Any:
        s, column = self.items()[index.row()], index.column()
        if role == _ID_ROLE:
            return s.id
        if role in (_Role.DisplayRole, _Role.EditRole):
            return {NAME: s.name, VOLUME: f"{self.volume_ml(s):.1f}", STATE: state_text(s)}.get(column)
        if role == _Role.DecorationRole and column == SHOW:
            return icon("eye-off" if s.id in self.hidden else "eye")
        if role == _Role.DecorationRole and column == COLOUR:
            return swatch(s.colour, self.swatch_px)
        if role == _Role.DecorationRole and column == STATE:
            return icon(s.decision.state)
        if role == _Role.TextAlignmentRole and column == VOLUME:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == _Role.ForegroundRole and column == NAME and s.mask.is_empty:
            return QColor("#8b94a1")
        if role == _Role.AccessibleTextRole and column == SHOW:
            return f"{s.name} {'hidden' if s.id in self.hidden else 'shown'}"
        return self._tip(s, column) if role == _Role.ToolTipRole else None

    def _tip(self, s: Structure, column: int) -> str:
        if column == SHOW:
            return "Click to show or hide"
        if column == COLOUR:
            return "Click to choose another colour"
        made = {"model": "proposed by a model", "imported": "imported", "reviewer": "drawn or edited by a reviewer"}
        lines = [s.name, made.get(s.provenance.source, s.provenance.source)]
        if s.provenance.model:
            lines.append(f"model {s.provenance.model}")
        if s.decision.person:
            lines.append(f"{s.decision.text} by {s.decision.person}")
        return "\n".join(lines)

    def setData(self, index: Index, value: Any, role: int = _Role.EditRole) -> bool:
        if role != _Role.EditRole or index.column() != NAME or self.session is None:
            return False
        try:
            self.session.rename(self.items()[index.row()].id, str(value))
        except UserError as error:
            self.failed.emit(error)
            return False
        return True


class _View(QTableView):
    """A table with two keys more."""

    toggled = Signal()
    deleted = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space shows or hides, Del deletes."""
        if event.key() == Qt.Key.Key_Space:
            self.toggled.emit()
        elif event.key() == Qt.Key.Key_Delete:
            self.deleted.emit()
        else:
            super().keyPressEvent(event)


class StructureTable(QWidget):
    """Search field, table and buttons.

    `active_changed` carries a structure id or None, `visibility_changed` an id and whether it is shown, `failed`
    an exception for the user.
    """

    active_changed = Signal(object)
    visibility_changed = Signal(str, bool)
    failed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("structure_table")
        self._active: str | None = None
        self.model = StructureModel(self)
        self.model.swatch_px = em(self, 0.75)
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(self.model)
        self._proxy.setFilterKeyColumn(NAME)
        self._proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.search = QLineEdit()
        named(self.search, "structure_search", "Search structures")
        self.search.setPlaceholderText("Search structures")
        self.search.setClearButtonEnabled(True)
        self.view = self._make_view()
        self.empty = QLabel("No structures yet. Segment, or add one to draw it yourself.")
        named(self.empty, "no_structures")
        self.empty.setWordWrap(True)
        set_role(self.empty, "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(em(self, 0.5), em(self, 0.3), em(self, 0.5), em(self, 0.5))
        layout.addWidget(self.search)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.empty)
        layout.addLayout(self._make_buttons())
        self._connect()
        self._refresh()

    def _make_view(self) -> _View:
        view = _View()
        named(view, "structures", "Structures")
        view.setModel(self._proxy)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        triggers = QAbstractItemView.EditTrigger
        view.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed)
        view.setShowGrid(False)
        view.setIconSize(icon_size(view))
        view.verticalHeader().hide()
        view.verticalHeader().setDefaultSectionSize(em(view, 1.8))
        view.setTabKeyNavigation(False)
        view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = view.horizontalHeader()
        header.setMinimumSectionSize(em(view, 1.5))
        header.setSectionsClickable(False)
        header.setHighlightSections(False)
        for column, mode in enumerate("FFSFF"):
            header.setSectionResizeMode(
                column, QHeaderView.ResizeMode.Stretch if mode == "S" else QHeaderView.ResizeMode.Fixed
            )
        for column, width in ((SHOW, 1.9), (COLOUR, 1.7), (VOLUME, 3.2)):
            header.resizeSection(column, em(view, width))
        header.resizeSection(STATE, view.fontMetrics().horizontalAdvance("accepted") + em(view, 2.9))
        return view

    def _make_buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(em(self, 0.2))
        for name, tip, slot in (
            ("add", "Add an empty structure to draw", self.add),
            ("rename", "Rename (F2)", self.rename),
            ("colour", "Change the colour", self.recolour),
            ("delete", "Delete (Del); undo brings it back", self.delete),
        ):
            button = QToolButton()
            named(button, f"structure_{name}", tip, tip)
            button.setIcon(icon(name))
            button.setIconSize(icon_size(self))
            button.clicked.connect(slot)
            row.addWidget(button)
            setattr(self, f"{name}_button", button)
        row.addStretch(1)
        for name, visible in (("Show all", True), ("Hide all", False)):
            button = QToolButton()
            named(button, "show_all" if visible else "hide_all", f"{name} structures")
            button.setText(name)
            button.clicked.connect(lambda _=False, visible=visible: self.show_all(visible))
            row.addWidget(button)
        return row

    def _connect(self) -> None:
        self.search.textChanged.connect(self._filter)
        self.view.clicked.connect(self._on_click)
        self.model.modelAboutToBeReset.connect(self._begin_quiet)
        self.model.modelReset.connect(self._refresh)
        self.model.visibility_changed.connect(self.visibility_changed)
        self.model.failed.connect(self.failed)
        self.view.selectionModel().currentRowChanged.connect(self._on_current)
        self.view.toggled.connect(self.toggle_visible)
        self.view.deleted.connect(self.delete)

    # -- what the window uses -------------------------------------------------------------------------------------

    @property
    def active(self) -> str | None:
        """Id of the active structure."""
        return self._active

    def set_session(self, session: ReviewSession | None) -> None:
        """Show a session; its first structure becomes active."""
        self._active, self._last_row = None, 0
        self.search.clear()
        self.model.set_session(session)
        self.setEnabled(session is not None)

    def set_active(self, structure_id: str | None) -> None:
        """Select a structure's row; `active_changed` follows when it was another one."""
        row = self.model.row_of(structure_id)
        index = QModelIndex() if row is None else self._proxy.mapFromSource(self.model.index(row, NAME))
        if index.isValid():
            self.view.setCurrentIndex(index)
        else:
            self.view.setCurrentIndex(QModelIndex())
        self._set_active(structure_id if row is not None else None)

    def show_all(self, visible: bool) -> None:
        """Show or hide every structure."""
        for s in self.model.items():
            self.model.set_visible(s.id, visible)

    def toggle_visible(self) -> None:
        """Show or hide the active structure."""
        if self._active is not None:
            self.model.set_visible(self._active, self._active in self.model.hidden)

    def add(self) -> None:
        """Add an empty structure and let the user type its name."""
        if self.model.session is None:
            return
        self.search.clear()
        self.set_active(self.model.session.add("New structure"))
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
        dialog.setWindowTitle(f"Colour of {session.structures.get(structure_id).name}")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(
            lambda c: session.recolour(structure_id, (c.red(), c.green(), c.blue())) if c.isValid() else None
        )
        dialog.open()

    def delete(self) -> None:
        """Delete the active structure."""
        if self.model.session is not None and self._active is not None:
            self.model.session.delete(self._active)

    # -- slots ----------------------------------------------------------------------------------------------------

    def _on_click(self, index: QModelIndex) -> None:
        structure_id = str(index.data(_ID_ROLE))
        if index.column() == SHOW:
            self.model.set_visible(structure_id, structure_id in self.model.hidden)
        elif index.column() == COLOUR:
            self.recolour()

    def _on_current(self, index: QModelIndex) -> None:
        if index.isValid() and not self._quiet:  # else rows came or went, which is nobody's choice
            self._set_active(str(index.data(_ID_ROLE)))

    def _set_active(self, structure_id: str | None) -> None:
        for button in (self.rename_button, self.colour_button, self.delete_button):  # type: ignore[attr-defined]
            button.setEnabled(structure_id is not None)
        self._last_row = self.model.row_of(structure_id) or 0
        if structure_id != self._active:
            self._active = structure_id
            self.active_changed.emit(structure_id)

    def _filter(self, text: str) -> None:
        self._quiet = True
        self._proxy.setFilterFixedString(text)
        self._quiet = False
        self.set_active(self._active)

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
