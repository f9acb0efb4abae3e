"""The list of reviews that are exported together, and what came of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHeaderView, QLabel, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from contourdesk.app.export_job import Exported
from contourdesk.app.worklist import Row
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, ink, named, plain_table, set_role


class ExportedList(QWidget):
    """A row for each review; below it what there is to know of the chosen one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "plain")
        self._rows: list[Row] = []
        self._results: Mapping[Path, Exported] = {}
        self.table = table = QTableWidget(0, 3)
        named(table, "export_reviews_table", tr("Reviews"))
        table.setHorizontalHeaderLabels([tr("Case"), tr("Accepted"), tr("Result")])
        plain_table(table, 1.7)
        header = table.horizontalHeader()
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        table.setColumnWidth(0, em(self, 13))
        table.setColumnWidth(1, em(self, 5.5))
        table.setMinimumHeight(em(self, 8))
        table.currentCellChanged.connect(lambda *_: self._show_detail())
        self.detail = QLabel()
        named(self.detail, "export_reviews_detail", tr("What there is to know of the chosen review"))
        self.detail.setWordWrap(True)
        self.detail.setTextFormat(Qt.TextFormat.PlainText)
        self.detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        set_role(self.detail, "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(table, 1)
        layout.addWidget(self.detail)
        self.detail.hide()

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these cases, which have reviews."""
        self._rows = list(rows)
        self.table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            name = row.patient.replace("^", " ").strip() or row.place.name
            counts = tr("{accepted} of {all}").format(accepted=row.accepted, all=row.total)
            for column, text in enumerate((name, counts, "")):
                self.table.setItem(number, column, QTableWidgetItem(text))
        self.show_results(self._results)

    def show_results(self, results: Mapping[Path, Exported], *, choose_failed: bool = False) -> None:
        """Show what came of the reviews so far, by their folders; `choose_failed` the first one that failed."""
        self._results = results
        for number in range(len(self._rows)):
            found, item = self._found(number), self.table.item(number, 2)
            problem = "" if found is None else found.problem
            written = [] if found is None else [text.rpartition(": ")[2] for text in found.written]
            item.setText(problem or ", ".join(written))
            item.setForeground(ink("warning" if problem else "good"))
            item.setToolTip("\n".join(_lines(found, found.written if found is not None else ())))
            if problem and choose_failed:
                self.table.selectRow(number)
                choose_failed = False
        self._show_detail()

    def _found(self, number: int) -> Exported | None:
        review = self._rows[number].review if 0 <= number < len(self._rows) else None
        return None if review is None else self._results.get(review)

    def _show_detail(self) -> None:
        lines = _lines(self._found(self.table.currentRow()))
        self.detail.setText("\n".join(lines))
        self.detail.setVisible(bool(lines))


def _lines(found: Exported | None, written: Sequence[str] = ()) -> list[str]:
    return [] if found is None else [*([found.problem] if found.problem else []), *written, *found.notes]
