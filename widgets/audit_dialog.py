"""Who did what when in a review, and whether the trail is whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.audit import Entry, Problem, read_audit, verify
from contourdesk.app.audit_text import KINDS, chosen, clock, sentence, to_csv
from contourdesk.app.files import write_atomically
from contourdesk.app.jobs import Job, Progress
from contourdesk.widgets.error_dialog import show_error
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role

_HEADS = ("No.", "Time", "Who", "What")
_MOST = 5000  # rows that are shown; the search narrows them


class AuditDialog(QDialog):
    """Lists the entries of a review's trail, the last first."""

    def __init__(self, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("audit_dialog")
        self.setWindowTitle(tr("Audit trail"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._entries: list[Entry] = []
        self.search, self.kind = QLineEdit(), QComboBox()
        named(self.search, "audit_search", tr("Search the audit trail"), tr("Words in any column"))
        self.search.setPlaceholderText(tr("Search person, structure, tool, date …"))
        self.search.setClearButtonEnabled(True)
        named(self.kind, "audit_kind", tr("Kind of entry"), tr("Show one kind of entry only"))
        for text, kinds in KINDS:
            self.kind.addItem(tr(text), kinds)
        self.state = QLabel(tr("Reading…"))
        named(self.state, "audit_state", tr("Whether the trail is whole"))
        self.state.setWordWrap(True)
        self.state.setTextFormat(Qt.TextFormat.PlainText)
        self.state.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        set_role(self.state, "muted")
        self.table = QTableWidget(0, len(_HEADS))
        named(self.table, "audit_table", tr("Entries"))
        self._build()
        self.search.textChanged.connect(lambda _: self._show())
        self.kind.currentIndexChanged.connect(lambda _: self._show())
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_read)
        self.runner.failed.connect(lambda error: show_error(self, error))
        self.runner.start(_read(folder), harmless=True)

    def _build(self) -> None:
        table = self.table
        table.setHorizontalHeaderLabels(_HEADS)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setShowGrid(False)
        table.setAlternatingRowColors(True)
        table.setWordWrap(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(em(self, 1.7))
        header = table.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for column, width in enumerate((3.5, 12, 9)):
            table.setColumnWidth(column, em(self, width))
        header.setSectionResizeMode(len(_HEADS) - 1, QHeaderView.ResizeMode.Stretch)
        buttons = QDialogButtonBox()
        named(buttons, "audit_buttons")
        self.export = buttons.addButton(tr("Export as CSV…"), QDialogButtonBox.ButtonRole.ActionRole)
        named(self.export, "audit_export", tr("Export what is listed as CSV"))
        self.export.clicked.connect(self._ask_export)
        buttons.addButton(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        row = QHBoxLayout()
        row.addWidget(self.search, 1)
        row.addWidget(self.kind)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[em(self, 1)] * 4)
        layout.setSpacing(em(self, 0.6))
        layout.addLayout(row)
        layout.addWidget(table, 1)
        layout.addWidget(self.state)
        layout.addWidget(buttons)
        self.resize(em(self, 68), em(self, 36))

    # -- slots ----------------------------------------------------------------------------------------------------

    def _on_read(self, found: tuple[list[Entry], list[Problem]]) -> None:
        entries, problems = found
        self._entries = entries[::-1]
        if problems:
            listed = "\n".join(problem.text for problem in problems[:4])
            more = f"\nand {len(problems) - 4} more" if len(problems) > 4 else ""
            self.state.setText(
                tr("The trail was tampered with or damaged:\n{listed}{more}").format(listed=listed, more=more)
            )
        else:
            last = entries[-1]["hash"] if entries else "none"
            self.state.setText(
                tr("{entries} entries, the chain is whole. Last hash: {last}").format(entries=len(entries), last=last)
            )
        set_role(self.state, "warning" if problems else "good")
        self._show()

    def listed(self) -> list[Entry]:
        """The entries that search and kind let through, the last first."""
        return chosen(self._entries, self.search.text(), self.kind.currentData())

    def _show(self) -> None:
        entries = self.listed()[:_MOST]
        self.table.setRowCount(len(entries))
        for row, entry in enumerate(entries):
            self._put(row, (str(entry["n"]), clock(entry), str(entry.get("who", "")), sentence(entry)))
        self.export.setEnabled(bool(entries))

    def _put(self, row: int, texts: Sequence[str]) -> None:
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            self.table.setItem(row, column, item)

    def _ask_export(self) -> None:
        chosen_path, _ = QFileDialog.getSaveFileName(self, tr("Export the audit trail"), "audit.csv", tr("CSV (*.csv)"))
        if chosen_path:
            self.export_to(Path(chosen_path))

    def export_to(self, path: Path) -> None:
        """Write what is listed, the first entry first."""
        try:
            write_atomically(path, ("\ufeff" + to_csv(self.listed()[::-1])).encode())
        except OSError as error:
            show_error(self, error, tr("Audit trail"))
        else:
            self.state.setText(
                tr("{state}\nWritten to {path}.").format(state=self.state.text().splitlines()[0], path=path)
            )


def _read(folder: Path) -> Job[tuple[list[Entry], list[Problem]]]:
    yield Progress(0, 0, tr("Reading the audit trail"))
    return read_audit(folder), verify(folder)
