"""Choose one of the series that a folder holds; those that can't be used say why.

A series whose slices don't lie evenly is opened only when the reviewer chooses to have it resampled, having been told
what that does and where.
"""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QHeaderView,
    QLabel,
    QListWidget,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.dicom_read import SeriesInfo
from contourdesk.app.resample import EXPORTED, Resample
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role

HEADERS = ("Patient", "Date", "Description", "Kind", "Slices", "Spacing", "Structures", "Remarks")


class ResampleOffer(QFrame):
    """Why a series can't be used as it is, what resampling would do, and the choice."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, "resample_offer", tr("Resampling"))
        set_role(self, "banner")
        self.problems, self.what = QLabel(), QLabel()
        named(self.problems, "resample_problems", tr("Why the series can't be used as it is"))
        named(self.what, "resample_text", tr("What resampling would do"))
        self.places = QListWidget()
        named(self.places, "resample_places", tr("Where, along the slices"))
        self.places.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.choice = QCheckBox(tr("Resample to an even grid"))
        named(self.choice, "resample_choice", tr("Resample to an even grid"))
        layout = QVBoxLayout(self)
        for label in (self.problems, self.what):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        for widget in (self.problems, self.places, self.what):
            layout.addWidget(widget)
        layout.addWidget(self.choice, 0, Qt.AlignmentFlag.AlignLeft)

    def show_offer(self, info: SeriesInfo, how: Resample) -> None:
        """Show what is wrong with `info` and what `how` would do."""
        self.problems.setText(tr("This series can't be used as it is. ") + " ".join(info.problems))
        self.what.setText(tr("Resampling makes of it: {text} {EXPORTED}").format(text=how.text, EXPORTED=EXPORTED))
        self.places.clear()
        self.places.addItems([f"missing at {place}" if how.missing else place for place in how.places])
        self.places.setVisible(bool(how.places))
        rows = min(len(how.places), 5)
        self.places.setFixedHeight(rows * self.places.sizeHintForRow(0) + 2 * self.places.frameWidth() + 2)


class SeriesDialog(QDialog):
    """Lists series; `chosen` carries the `SeriesInfo` to open, and its `Resample` when that was chosen, else None."""

    chosen = Signal(object, object)

    def __init__(self, series: Sequence[SeriesInfo], parent: QWidget | None = None, *, resample: bool = False) -> None:
        super().__init__(parent)
        self.setObjectName("series_dialog")
        self.setWindowTitle(tr("Choose a series"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        # What can be used comes first, the largest first: most often that is the planning CT.
        self._series = sorted(series, key=lambda s: (not s.usable, s.resample is None, -s.slices))
        text = QLabel(_summary(self._series))
        text.setWordWrap(True)
        set_role(text, "muted" if any(_possible(s) for s in series) else "warning")
        self.table = QTableWidget(len(self._series), len(HEADERS))
        named(self.table, "series", tr("Series"))
        self.offer = ResampleOffer()
        self.offer.choice.setChecked(resample)
        self._fill()
        self._make_buttons()
        self.table.itemSelectionChanged.connect(self._on_selection)
        self.table.doubleClicked.connect(lambda _: self._on_open())
        self.offer.choice.toggled.connect(lambda _: self._on_selection())
        layout = QVBoxLayout(self)
        layout.setSpacing(em(self, 0.6))
        layout.addWidget(text)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.offer)
        layout.addWidget(self.buttons)
        self.table.setMinimumHeight(em(self, 9))
        self.resize(em(self, 72), em(self, 32 if any(s.resample for s in series) else 24))
        if self._series and _possible(self._series[0]):
            self.table.selectRow(0)
        self._on_selection()

    def _make_buttons(self) -> None:
        self.buttons = QDialogButtonBox()
        named(self.buttons, "series_buttons")
        self.open_button = self.buttons.addButton(tr("Open"), QDialogButtonBox.ButtonRole.AcceptRole)
        named(self.open_button, "series_open", tr("Open the chosen series"))
        set_role(self.open_button, "primary")
        self.buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self._on_open)
        self.buttons.rejected.connect(self.reject)

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
            how = info.resample
            remarks = " ".join(info.problems) if how is None else f"Needs resampling: {how.reason}"
            structures = str(len(info.rtstructs) + len(info.segs) or "")
            values = (
                info.patient_name, info.date, info.description, info.modality, str(info.slices),
                info.spacing_text, structures, remarks,
            )  # fmt: skip
            for column, value in enumerate(values):
                item = QTableWidgetItem(value)
                item.setToolTip(value)
                if not _possible(info):
                    item.setFlags(Qt.ItemFlag.NoItemFlags)
                table.setItem(row, column, item)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(len(HEADERS) - 1, QHeaderView.ResizeMode.Stretch)

    def showEvent(self, event: QShowEvent) -> None:
        """Give the rows the heights that they need now that the columns have their widths."""
        super().showEvent(event)
        QTimer.singleShot(0, self, self.table.resizeRowsToContents)

    def _current(self) -> SeriesInfo | None:
        rows = self.table.selectionModel().selectedRows()
        info = self._series[rows[0].row()] if rows else None
        return info if info is not None and _possible(info) else None

    def _on_selection(self) -> None:
        info = self._current()
        how = info.resample if info is not None else None
        self.offer.setVisible(how is not None)
        if info is not None and how is not None:
            self.offer.show_offer(info, how)
        self.open_button.setEnabled(info is not None and (how is None or self.offer.choice.isChecked()))

    def _on_open(self) -> None:
        info = self._current()
        if info is not None and self.open_button.isEnabled():
            self.accept()
            self.chosen.emit(info, info.resample)


def _possible(info: SeriesInfo) -> bool:
    return info.usable or info.resample is not None


def _summary(series: Sequence[SeriesInfo]) -> str:
    usable, more = sum(s.usable for s in series), sum(s.resample is not None for s in series)
    if not usable and not more:
        return "None of the series in this folder can be reviewed. The last column says why."
    as_they_are = f"{usable} can be reviewed as {'it is' if usable == 1 else 'they are'}" if usable else ""
    after = f"{more} after resampling, if you choose so" if more else ""
    return f"The folder holds {len(series)} series: {', '.join(part for part in (as_they_are, after) if part)}."
