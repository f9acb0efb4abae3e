"""The table of structures as a widget: its look, its keys, and the editor of names that knows TG-263."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QPersistentModelIndex, Qt, Signal
from qtpy.QtGui import QKeyEvent, QMouseEvent, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCompleter,
    QHeaderView,
    QLineEdit,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from contourdesk.app.naming import known_structures
from contourdesk.widgets.language import tr
from contourdesk.widgets.structure_model import COLOUR, FINDINGS, HEADERS, LOCK, NAME, SHOW, STATE, VOLUME
from contourdesk.widgets.structure_rows import StructureRows
from contourdesk.widgets.theme import em, icon_size, named

_WORDS_EM = 25  # a narrower table shows states as icons


class _NameEditor(QStyledItemDelegate):
    """Offers TG-263's names while a name is typed; any other may be typed, too."""

    def createEditor(
        self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QWidget:
        """A line with completion."""
        editor = super().createEditor(parent, option, index)
        if isinstance(editor, QLineEdit):
            completer = QCompleter([one.name for one in known_structures()], editor)
            completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
            completer.setFilterMode(Qt.MatchFlag.MatchContains)
            editor.setCompleter(completer)
            editor.setAccessibleName(tr("Name of the structure"))
        return editor


class StructureView(QTableView):
    """A table with a few keys more; `rows` tells headings from structures.

    `alone` carries an index whose eye was Alt+clicked, `words_fit` whether there is room for states in words.
    """

    toggled = Signal()
    deleted = Signal()
    searched = Signal()
    alone = Signal(object)
    folded = Signal(str)
    words_fit = Signal(bool)

    def __init__(self, rows: StructureRows, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._structure_rows = rows
        named(self, "structures", tr("Structures"))
        self.setModel(rows)
        self.setItemDelegateForColumn(NAME, _NameEditor(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        triggers = QAbstractItemView.EditTrigger
        self.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setShowGrid(False)
        self.setIconSize(icon_size(self))
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(em(self, 1.8))
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(em(self, 1.2))
        header.setSectionsClickable(False)
        header.setHighlightSections(False)
        modes = QHeaderView.ResizeMode
        for column in range(len(HEADERS)):
            header.setSectionResizeMode(column, modes.Stretch if column == NAME else modes.Fixed)
        for column, width in ((SHOW, 1.9), (COLOUR, 1.7), (FINDINGS, 1.5), (LOCK, 1.7), (VOLUME, 3.2)):
            header.resizeSection(column, em(self, width))
        rows.modelReset.connect(self.span_headings)
        self._size_state()

    def span_headings(self) -> None:
        """Give each heading its whole row."""
        self.clearSpans()
        for row in self._structure_rows.headings():
            self.setSpan(row, 0, 1, len(HEADERS))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """States in words where there is room."""
        super().resizeEvent(event)
        self._size_state()

    def _size_state(self) -> None:
        words = self.width() >= em(self, _WORDS_EM)
        width = self.fontMetrics().horizontalAdvance("accepted") + em(self, 2.9) if words else em(self, 2.0)
        if self.horizontalHeader().sectionSize(STATE) != width:
            self.horizontalHeader().resizeSection(STATE, width)
        self.words_fit.emit(words)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Fold a group, or show a structure alone."""
        index = self.indexAt(event.position().toPoint())
        heading = self._structure_rows.heading(index.row()) if index.isValid() else None
        if heading is not None:
            self.folded.emit(heading.title)
        elif index.isValid() and index.column() == SHOW and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self.alone.emit(index)
        else:
            super().mousePressEvent(event)
            return
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space shows or hides, Del deletes, / searches, Left and Right fold and unfold the group."""
        key, keys = event.key(), Qt.Key
        over = self._structure_rows.heading_over(self.currentIndex().row())
        if key == keys.Key_Space:
            self.toggled.emit()
        elif key == keys.Key_Delete:
            self.deleted.emit()
        elif key == keys.Key_Slash:
            self.searched.emit()
        elif key in (keys.Key_Left, keys.Key_Right) and over is not None:
            if self._structure_rows.folded(over.title) == (key == keys.Key_Right):
                self.folded.emit(over.title)
        else:
            super().keyPressEvent(event)
