"""The list of measurements under the images; it takes no room until something was measured."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QGuiApplication, QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QToolButton, QVBoxLayout, QWidget

from contourdesk.app.measuring import Measurement
from contourdesk.widgets.language import tr
from contourdesk.widgets.measurements import Measurements
from contourdesk.widgets.theme import em, named

_ROWS = 4


class _List(QListWidget):
    """A list in which Del removes."""

    removed = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Del removes the chosen one."""
        if event.key() == Qt.Key.Key_Delete:
            self.removed.emit()
        else:
            super().keyPressEvent(event)


class MeasureBar(QWidget):
    """`chosen` carries a `Measurement` to go to."""

    chosen = Signal(object)

    def __init__(self, measurements: Measurements, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("measure_bar")
        self._measurements = measurements
        self.list = _List()
        named(
            self.list,
            "measurements",
            tr("Measurements"),
            tr("Click to go there, Del removes; they are not kept on closing"),
        )
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.itemClicked.connect(lambda item: self.chosen.emit(item.data(Qt.ItemDataRole.UserRole)))
        self.list.itemActivated.connect(lambda item: self.chosen.emit(item.data(Qt.ItemDataRole.UserRole)))
        self.list.removed.connect(self.remove)
        row = QHBoxLayout(self)
        row.setContentsMargins(em(self, 0.3), 0, em(self, 0.3), em(self, 0.2))
        row.setSpacing(em(self, 0.3))
        row.addWidget(self.list, 1)
        buttons = QVBoxLayout()
        buttons.setSpacing(2)
        for text, name, tip, slot in (
            (tr("Remove"), "measure_remove", tr("Remove the chosen measurement (Del)"), self.remove),
            (tr("Remove all"), "measure_clear", tr("Remove all measurements"), measurements.clear),
            (tr("Copy"), "measure_copy", tr("Copy all measurements as text"), self.copy),
        ):
            button = QToolButton()
            named(button, name, tip, tip)
            button.setText(text)
            button.setMinimumWidth(em(self, 6))
            button.clicked.connect(slot)
            buttons.addWidget(button)
        row.addLayout(buttons)
        self.list.setFixedHeight(em(self, 1.35 * _ROWS + 0.6))
        measurements.changed.connect(self._show)
        self._show()

    def remove(self) -> None:
        """Remove the chosen measurement, the last one when none is."""
        items = self._measurements.items
        row = self.list.currentRow()
        if items:
            self._measurements.remove(items[row if 0 <= row < len(items) else -1])

    def copy(self) -> None:
        """Put all lines into the clipboard."""
        QGuiApplication.clipboard().setText("\n".join(_lines(self._measurements.items)))

    def _show(self) -> None:
        grew = len(self._measurements.items) > self.list.count()
        row = -1 if grew else self.list.currentRow()
        self.list.clear()
        for line, made in zip(_lines(self._measurements.items), self._measurements.items, strict=True):
            item = QListWidgetItem(line)
            item.setData(Qt.ItemDataRole.UserRole, made)
            item.setToolTip(line)
            self.list.addItem(item)
        self.list.setCurrentRow(min(row, self.list.count() - 1) if row >= 0 else self.list.count() - 1)
        if self.list.count():
            self.list.scrollToItem(self.list.currentItem())
        self.setVisible(bool(self._measurements.items))


def _lines(made: Sequence[Measurement]) -> list[str]:
    return [f"{m.detail}   ({m.plane}, slice {m.slice + 1})" if m.plane else m.detail for m in made]
