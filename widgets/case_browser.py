"""Choose one of the series that a folder holds; those that can't be used say why."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.dicom_read import SeriesInfo
from contourdesk.widgets.theme import em, named, set_role

HEADERS = ("Patient", "Date", "Description", "Kind", "Slices", "Spacing", "Structures", "Remarks")


class SeriesDialog(QDialog):
    """Lists series; `chosen` carries the `SeriesInfo` to open."""

    chosen = Signal(object)

    def __init__(self, series: Sequence[SeriesInfo], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("series_dialog")
        self.setWindowTitle("Choose a series")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        # What can be used comes first, the largest first: most often that is the planning CT.
        self._series = sorted(series, key=lambda s: (not s.usable, -s.slices))
        usable = sum(s.usable for s in self._series)
        text = QLabel(
            f"The folder holds {len(self._series)} series, {usable} of them can be reviewed."
            if usable
            else "None of the series in this folder can be reviewed. The last column says why."
        )
        text.setWordWrap(True)
        set_role(text, "muted" if usable else "warning")
        self.table = QTableWidget(len(self._series), len(HEADERS))
        named(self.table, "series", "Series")
        self._fill()
        self.buttons = QDialogButtonBox()
        named(self.buttons, "series_buttons")
        self.open_button = self.buttons.addButton("Open", QDialogButtonBox.ButtonRole.AcceptRole)
        named(self.open_button, "series_open", "Open the chosen series")
        set_role(self.open_button, "primary")
        self.buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self._on_open)
        self.buttons.rejected.connect(self.reject)
        self.table.itemSelectionChanged.connect(self._on_selection)
        self.table.doubleClicked.connect(lambda _: self._on_open())
        layout = QVBoxLayout(self)
        layout.setSpacing(em(self, 0.6))
        layout.addWidget(text)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.buttons)
        self.resize(em(self, 66), em(self, 24))
        if usable:
            self.table.selectRow(0)
        self._on_selection()

    def _fill(self) -> None:
        table = self.table
        table.setHorizontalHeaderLabels(HEADERS)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setShowGrid(False)
        table.setWordWrap(True)
        table.verticalHeader().hide()
        for row, info in enumerate(self._series):
            remarks = "; ".join(info.problems)
            structures = str(len(info.rtstructs)) if info.rtstructs else ""
            values = (
                info.patient_name, info.date, info.description, info.modality, str(info.slices),
                info.spacing_text, structures, remarks,
            )  # fmt: skip
            for column, value in enumerate(values):
                item = QTableWidgetItem(value)
                item.setToolTip(value)
                if not info.usable:
                    item.setFlags(Qt.ItemFlag.NoItemFlags)
                table.setItem(row, column, item)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(len(HEADERS) - 1, QHeaderView.ResizeMode.Stretch)
        table.resizeRowsToContents()

    def _current(self) -> SeriesInfo | None:
        rows = self.table.selectionModel().selectedRows()
        info = self._series[rows[0].row()] if rows else None
        return info if info is not None and info.usable else None

    def _on_selection(self) -> None:
        self.open_button.setEnabled(self._current() is not None)

    def _on_open(self) -> None:
        info = self._current()
        if info is not None:
            self.accept()
            self.chosen.emit(info)
