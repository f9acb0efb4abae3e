"""The rows that the list shows of a `StructureModel`: found ones, under headings that can be folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer
from qtpy.QtGui import QFont

from contourdesk.app.groups import grouped
from contourdesk.widgets.structure_model import NAME, StructureModel
from contourdesk.widgets.theme import icon, ink

Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole


@dataclass(frozen=True)
class Heading:
    """A heading with the number of structures under it."""

    title: str
    count: int


class StructureRows(QAbstractTableModel):
    """Rows of the list: a `Heading`, or the row number in the source. One group alone has no heading."""

    def __init__(self, source: StructureModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._source = source
        self._search = ""
        self._folded: set[str] = set()
        self._rows: list[Heading | int] = []
        self._groups: list[tuple[str, list[int]]] = []
        source.modelAboutToBeReset.connect(self.beginResetModel)
        source.modelReset.connect(self._after_reset)
        source.dataChanged.connect(self._on_data)
        source.headerDataChanged.connect(self.headerDataChanged)

    def set_search(self, text: str) -> None:
        """Show structures with this in their name; folded groups open while there is something to find."""
        self._search = text.strip().casefold()
        self._rebuild()

    def toggle(self, title: str) -> None:
        """Fold or unfold a group."""
        self._folded ^= {title}
        self._rebuild()

    def unfold_row(self, source_row: int) -> None:
        """Unfold the group that holds a row of the source."""
        for title, places in grouped(self._source.items()):
            if source_row in places and title in self._folded:
                self.toggle(title)

    def heading(self, row: int) -> Heading | None:
        """The heading in a row, or None."""
        found = self._rows[row] if 0 <= row < len(self._rows) else None
        return found if isinstance(found, Heading) else None

    def heading_over(self, row: int) -> Heading | None:
        """The heading that a row stands under, or that it is."""
        return next((h for h in (self.heading(i) for i in range(row, -1, -1)) if h is not None), None)

    def folded(self, title: str) -> bool:
        """Whether a group is folded."""
        return title in self._folded and not self._search

    def headings(self) -> list[int]:
        """Rows that are headings."""
        return [row for row, what in enumerate(self._rows) if isinstance(what, Heading)]

    def row_for(self, source_row: int | None) -> int | None:
        """Row of a row of the source; None when it is not shown."""
        if source_row is None:
            return None
        return next((row for row, what in enumerate(self._rows) if what == source_row and isinstance(what, int)), None)

    def first_structure(self) -> int | None:
        """The first row with a structure."""
        return next((row for row, what in enumerate(self._rows) if isinstance(what, int)), None)

    def _rebuild(self) -> None:
        self.beginResetModel()
        self._after_reset()

    def _after_reset(self) -> None:
        items = self._source.items()
        groups = self._groups = grouped(items)
        self._rows = []
        for title, places in groups:
            found = [i for i in places if self._search in items[i].name.casefold()]
            if len(groups) > 1 and found:
                self._rows.append(Heading(title, len(found)))
            if not self.folded(title) or len(groups) == 1:
                self._rows += found
        self.endResetModel()

    def _on_data(self, first: Index, last: Index) -> None:
        rows = [
            row for row, what in enumerate(self._rows) if isinstance(what, int) and first.row() <= what <= last.row()
        ]
        for row in rows:
            self.dataChanged.emit(self.index(row, first.column()), self.index(row, last.column()))
        if grouped(self._source.items()) != self._groups:  # another name; the editor of the old one is still open
            QTimer.singleShot(0, self, self._rebuild)

    def _at(self, index: Index) -> QModelIndex | Heading:
        what = self._rows[index.row()]
        return what if isinstance(what, Heading) else self._source.index(what, index.column())

    # Qt's own names from here on.

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return self._source.columnCount()

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole) -> Any:
        return self._source.headerData(section, orientation, role)

    def flags(self, index: Index) -> Qt.ItemFlag:
        at = self._at(index)
        return Qt.ItemFlag.NoItemFlags if isinstance(at, Heading) else self._source.flags(at)

    def data(self, index: Index, role: int = _Role.DisplayRole) -> Any:
        at = self._at(index)
        if not isinstance(at, Heading):
            return self._source.data(at, role)
        if index.column() != 0:
            return None
        if role in (_Role.DisplayRole, _Role.AccessibleTextRole):
            return f"{at.title} ({at.count})"
        if role == _Role.DecorationRole:
            return icon("chevron-right" if self.folded(at.title) else "chevron-down")
        if role == _Role.ForegroundRole:
            return ink("text-soft")
        if role == _Role.FontRole:
            font = QFont()
            font.setBold(True)
            return font
        return "Click to fold or unfold (Left, Right)" if role == _Role.ToolTipRole else None

    def setData(self, index: Index, value: Any, role: int = _Role.EditRole) -> bool:
        at = self._at(index)
        return not isinstance(at, Heading) and index.column() == NAME and self._source.setData(at, value, role)
