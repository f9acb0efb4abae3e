"""The page with the worklist: cases of one folder or several, their state, and which one is next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.worklist import COLUMNS, STATES, Row, filter_rows, next_row, sort_rows, summary
from contourdesk.widgets.language import tr
from contourdesk.widgets.review_panel import when
from contourdesk.widgets.theme import em, icon, ink, named, set_role
from contourdesk.widgets.window_parts import ElidedLabel

_HEADS = (
    "Patient", "Date", "Description", "Slices", "State", "Decided", "Findings", "Learn", "Reviewer", "Last saved",
    "Place",
)  # fmt: skip
_NUMBERS = ("slices", "decided", "findings", "learn")
_LEARN = (
    "How unsure the model is of this case, over all organs, compared with the others here: 1 is usual.\n"
    "The most unsure first is what it would learn most from; click to sort so."
)
_INKS = {"new": "new", "in review": "warning", "done": "good", "can't be opened": "text-muted"}
_FILTERS = (("All", STATES), ("New", ("new",)), ("In review", ("in review",)), ("Done", ("done",)))
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_Any = QModelIndex()


def cell_text(row: Row, column: str) -> str:
    """What stands in a cell."""
    if column == "patient":
        return row.patient.replace("^", " ").strip() or row.place.name
    if column == "decided":
        return f"{row.decided} of {row.total}" if row.total else ""
    if column == "when":
        return when(row.when) if row.when else ""
    if column == "state":
        return f"{row.state}, open now" if row.held_by else row.state
    if column == "place":
        return row.place.name
    if column == "slices":
        return str(row.slices or "")
    if column == "learn":
        return "" if row.learn is None else f"{row.learn:.2f}"
    found = getattr(row, column)
    return "" if found is None else str(found)


class WorklistModel(QAbstractTableModel):
    """Rows in the order and choice that the page asks for."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.rows: list[Row] = []

    def show_rows(self, rows: list[Row]) -> None:
        """Show these rows."""
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = _Any) -> int:
        """Number of rows."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = _Any) -> int:
        """Number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """The columns' titles."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return tr(_HEADS[section])
        if role == Qt.ItemDataRole.TextAlignmentRole and COLUMNS[section] in _NUMBERS:
            return _RIGHT
        if role == Qt.ItemDataRole.ToolTipRole and COLUMNS[section] == "learn":
            return tr(_LEARN)
        return None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Text, colour and tool tip of a cell."""
        row, column = self.rows[index.row()], COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(row, column)
        if role == Qt.ItemDataRole.ForegroundRole and column == "state":
            return ink(_INKS[row.state])
        if role == Qt.ItemDataRole.ForegroundRole and row.state == "can't be opened":
            return ink(_INKS[row.state])
        if role == Qt.ItemDataRole.TextAlignmentRole and column in _NUMBERS:
            return _RIGHT
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(part for part in (row.held_by, row.problem, str(row.place)) if part)
        return None


class WorklistPage(QWidget):
    """Shows the list. It only asks; the window acts.

    `open_row` carries a `Row`, `folder_unwanted` a folder to take off the list; `export_wanted` asks for the export of
    reviews, those of `selected` first; `propose_wanted` that the model proposes for new cases, or stops doing so.
    """

    open_row = Signal(object)
    export_wanted = Signal()
    propose_wanted = Signal()
    folder_wanted = Signal()
    folder_unwanted = Signal(object)
    refresh_wanted = Signal()
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("worklist_page")
        self._all: list[Row] = []
        self._busy = self._proposing = ""
        self._states: Sequence[str] = STATES
        self._column, self._descending = "state", False
        self._current: tuple[str, str] | None = None
        self.search = QLineEdit()
        named(self.search, "worklist_search", tr("Search the worklist"), tr("Words in any column (Ctrl+F)"))
        self.search.setPlaceholderText(tr("Search patient, description, reviewer …"))
        self.search.setClearButtonEnabled(True)
        self.model = WorklistModel(self)
        self.table = QTableView()
        named(self.table, "worklist", tr("Cases"))
        self.text, self.progress = QLabel(), ElidedLabel()
        named(self.text, "worklist_summary", tr("How many cases"))
        named(self.progress, "worklist_progress", tr("What is being looked at"))
        set_role(self.progress, "muted")
        self.nothing = QLabel(
            tr("Add a folder of cases: each folder in it with DICOM images, and each image file, is one.")
        )
        set_role(self.nothing, "muted")
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._folders = QHBoxLayout()
        self._build()
        self.search.textChanged.connect(lambda _: self._show())
        self.table.doubleClicked.connect(lambda _: self._on_open())
        self.table.horizontalHeader().sectionClicked.connect(self._on_head)
        self.table.selectionModel().selectionChanged.connect(lambda *_: self._enable())
        self.set_folders(())
        self._show()

    # -- building -------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[em(self, 1)] * 4)
        layout.setSpacing(em(self, 0.6))
        layout.addLayout(self._head())
        layout.addLayout(self._folders)
        self._make_table()
        layout.addWidget(self.table, 1)
        layout.addWidget(self.nothing, 1)
        layout.addLayout(self._foot())

    def _head(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(em(self, 0.4))
        title = QLabel(tr("Worklist"))
        set_role(title, "title")
        row.addWidget(title)
        row.addSpacing(em(self, 1))
        row.addWidget(self.search, 1)
        group = QButtonGroup(self)
        for text, states in _FILTERS:
            button = QToolButton()
            button.setText(tr(text))
            button.setCheckable(True)
            button.setChecked(states is STATES)
            tip = tr("Show all cases") if states is STATES else tr("Show cases: {state}").format(state=tr(text))
            named(button, f"worklist_{text.lower().replace(' ', '_')}", tip, tip)
            button.clicked.connect(lambda _=False, states=states: self._on_states(states))
            group.addButton(button)
            row.addWidget(button)
        return row

    def _make_table(self) -> None:
        table = self.table
        table.setModel(self.model)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setAlternatingRowColors(True)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(em(self, 1.9))
        header = table.horizontalHeader()
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        widths = (11, 6.5, 13, 4, 10.5, 5.5, 5.5, 4, 8.5, 10.5, 8)
        for column, width in enumerate(widths):
            table.setColumnWidth(column, em(self, width))
        header.setSectionResizeMode(COLUMNS.index("description"), QHeaderView.ResizeMode.Stretch)

    def _foot(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(em(self, 0.5))
        row.addWidget(self.text)
        row.addWidget(self.progress, 1)
        self.refresh = self._button(tr("Look again"), "worklist_refresh", tr("Look for cases and reviews again (F5)"))
        self.back = self._button(tr("Start page"), "worklist_back", tr("Back to the start page (Esc)"))
        self.propose = self._button(
            tr("Propose…"),
            "worklist_propose",
            tr("Let the model propose structures for new cases, ahead of review"),
        )
        self.export = self._button(
            tr("Export…"), "worklist_export", tr("Export many reviews at once: those selected here, those done, or all")
        )
        self.next = self._button(tr("Next case"), "worklist_next", tr("Open the next case that is not done (Ctrl+J)"))
        self.open = self._button(tr("Open"), "worklist_open", tr("Open the chosen case (Enter)"))
        set_role(self.open, "primary")
        self.refresh.clicked.connect(self.refresh_wanted)
        self.back.clicked.connect(self.left)
        self.export.clicked.connect(self.export_wanted)
        self.propose.clicked.connect(self.propose_wanted)
        self.next.clicked.connect(lambda: self.open_next())
        self.open.clicked.connect(self._on_open)
        for button in (self.back, self.refresh, self.propose, self.export, self.next, self.open):
            row.addWidget(button)
        return row

    def _button(self, text: str, name: str, tip: str) -> QPushButton:
        button = QPushButton(text)
        named(button, name, text, tip)
        return button

    # -- what the window uses -------------------------------------------------------------------------------------

    def set_folders(self, folders: Sequence[Path]) -> None:
        """Show which folders the list is made of."""
        while self._folders.count():
            item = self._folders.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.hide()  # until it goes it would lie over the page
                widget.deleteLater()
        for number, folder in enumerate(folders):
            chip = QPushButton(folder.name or str(folder))
            named(chip, f"worklist_folder_{number}", tr("Take {folder} off the list").format(folder=folder))
            chip.setToolTip(
                tr("{folder}\nClick to take it off the list; nothing in it is touched").format(folder=folder)
            )
            chip.setIcon(icon("close"))
            chip.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
            chip.clicked.connect(lambda _=False, folder=folder: self.folder_unwanted.emit(folder))
            self._folders.addWidget(chip)
        add = QPushButton(tr("Add a folder…"))
        named(add, "worklist_add", tr("Add a folder of cases"))
        add.setIcon(icon("open-folder"))
        add.clicked.connect(self.folder_wanted)
        self._folders.addWidget(add)
        self._folders.addStretch(1)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these cases; the one that is chosen stays so."""
        self._all = list(rows)
        self._show()

    def set_busy(self, text: str) -> None:
        """Say what is being looked at; nothing when all is."""
        self._busy = text
        self.progress.set_full_text(self._proposing or text)
        self.refresh.setEnabled(not text)

    def set_proposing(self, text: str) -> None:
        """Say how far the proposals for new cases are; nothing when none are being made."""
        self._proposing = text
        self.progress.set_full_text(text or self._busy)
        self.propose.setText(tr("Stop proposing") if text else tr("Propose…"))
        self._enable()

    @property
    def to_propose(self) -> list[Row]:
        """New cases that have no proposals; of several selected ones, those of them."""
        selected = self.selected
        return [
            row
            for row in self._all
            if row.state == "new" and row.review is None and (len(selected) < 2 or row.key in selected)
        ]

    def set_current(self, key: tuple[str, str] | None) -> None:
        """The case that is open, or was last: the next one comes after it."""
        self._current = key
        self._choose(key)

    @property
    def rows(self) -> list[Row]:
        """The rows that are shown, in their order."""
        return self.model.rows

    @property
    def all_rows(self) -> list[Row]:
        """All rows, shown or not."""
        return list(self._all)

    @property
    def selected(self) -> list[tuple[str, str]]:
        """The keys of the selected rows, in the order that is shown."""
        return [self.model.rows[i].key for i in sorted(i.row() for i in self.table.selectionModel().selectedRows())]

    def next_row(self) -> Row | None:
        """The next case that there is work on, in the order that is shown."""
        return next_row(self.rows, self._current)

    def open_next(self) -> None:
        """Open the next case."""
        row = self.next_row()
        if row is not None:
            self.open_row.emit(row)

    # -- slots ----------------------------------------------------------------------------------------------------

    def _on_states(self, states: Sequence[str]) -> None:
        self._states = states
        self._show()

    def _on_head(self, section: int) -> None:
        column = COLUMNS[section]
        # What the model would learn most from is the largest; everything else begins with the smallest.
        self._descending = not self._descending if column == self._column else column == "learn"
        self._column = column
        self._show()

    def _chosen(self) -> Row | None:
        """The selected row; of several the one that was clicked last."""
        rows = [index.row() for index in self.table.selectionModel().selectedRows()]
        current = self.table.currentIndex().row()
        return self.model.rows[current if current in rows else rows[0]] if rows else None

    def _choose(self, key: tuple[str, str] | None) -> None:
        at = next((i for i, row in enumerate(self.model.rows) if row.key == key), 0)
        if self.model.rows:
            self.table.selectRow(at)
        self._enable()

    def _show(self) -> None:
        chosen, selected = self._chosen(), set(self.selected)
        shown = filter_rows(self._all, self.search.text(), self._states)
        self.model.show_rows(sort_rows(shown, self._column, descending=self._descending))
        order = Qt.SortOrder.DescendingOrder if self._descending else Qt.SortOrder.AscendingOrder
        self.table.horizontalHeader().setSortIndicator(COLUMNS.index(self._column), order)
        self.text.setText(summary(self._all) if self._all else "")
        self.table.setVisible(bool(self._all))
        self.nothing.setVisible(not self._all)
        self._choose(chosen.key if chosen is not None else self._current)
        if len(selected) > 1:
            mode = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
            for number, row in enumerate(self.model.rows):
                if row.key in selected:
                    self.table.selectionModel().select(self.model.index(number, 0), mode)

    def _enable(self) -> None:
        chosen = self._chosen()
        self.propose.setEnabled(bool(self._proposing or self.to_propose))
        self.export.setEnabled(any(row.review is not None and row.accepted for row in self._all))
        self.open.setEnabled(chosen is not None and chosen.state != "can't be opened")
        self.next.setEnabled(self.next_row() is not None)

    def _on_open(self) -> None:
        chosen = self._chosen()
        if chosen is not None and self.open.isEnabled():
            self.open_row.emit(chosen)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens, F5 looks again, Escape leaves, Ctrl+F searches."""
        key, keys = event.key(), Qt.Key
        if key in (keys.Key_Return, keys.Key_Enter):
            self._on_open()
        elif key == keys.Key_F5:
            self.refresh_wanted.emit()
        elif key == keys.Key_Escape:
            self.left.emit()
        elif key == keys.Key_F and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.search.setFocus()
        else:
            super().keyPressEvent(event)
