"""A second reader: taking over a finished review beside the first reader's, and comparing the two."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.figures import DEFINITIONS, texts
from contourdesk.app.jobs import Job
from contourdesk.app.readings import Difference, agreement, differences, reader_of
from contourdesk.app.review import ReviewSession
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role

_KEYS = ("dice", "surface_dice", "hd95_mm", "added_path_mm", "volume_change_ml")


class BeginReading(QDialog):
    """Asks for the next reader's name; `begun` carries it."""

    begun = Signal(str)

    def __init__(self, session: ReviewSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("reading_dialog")
        self.setWindowTitle(tr("Second reading"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._first = reader_of(session.structures, session.reviewer)
        still_open = [s.name for s in session.structures if s.decision.state == "unreviewed"]
        text = QLabel(
            tr(
                "The contours and decisions of {first} are kept as they are. All decisions are open again for the "
                "second reader, who goes on from these contours; both can be compared at any time."
            ).format(first=self._first or "the first reader")
        )
        text.setWordWrap(True)
        warning = QLabel(
            tr("Not decided yet: {still_open}.").format(still_open=", ".join(still_open)) if still_open else ""
        )
        warning.setWordWrap(True)
        warning.setVisible(bool(still_open))
        set_role(warning, "warning")
        self.name = QLineEdit()
        named(self.name, "reading_name", tr("Name of the second reader"))
        self.name.setPlaceholderText(tr("Name of the second reader"))
        self.name.textChanged.connect(self._check)
        self.problem = QLabel("")
        named(self.problem, "reading_problem")
        set_role(self.problem, "muted")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        named(self.buttons, "reading_buttons")
        self.ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.ok.setText(tr("Begin"))
        named(self.ok, "reading_begin", tr("Begin the second reading"))
        self.buttons.accepted.connect(self._on_ok)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(em(self, 0.7))
        for widget in (text, warning, self.name, self.problem, self.buttons):
            layout.addWidget(widget)
        self.setMinimumWidth(em(self, 30))
        self._check()

    def _check(self) -> None:
        name = self.name.text().strip()
        same = bool(name) and name.casefold() == self._first.casefold()
        self.problem.setText(tr("A second reader is another person.") if same else "")
        self.ok.setEnabled(bool(name) and not same)

    def _on_ok(self) -> None:
        self.accept()
        self.begun.emit(self.name.text().strip())


class CompareReadings(QDialog):
    """A table of two readings and a statement on their agreement, made in a worker; `chosen` carries a structure id."""

    chosen = Signal(str)

    def __init__(self, session: ReviewSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("readings_dialog")
        self.setWindowTitle(tr("Readings compared"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        former = session.readings[-1]
        self._first, self._second = former.person, reader_of(session.structures, session.reviewer)
        self.statement = QLabel(tr("Comparing…"))
        named(self.statement, "readings_statement", tr("How far the readers agree"))
        self.statement.setWordWrap(True)
        self.statement.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        definitions = {d.key: d for d in DEFINITIONS}
        heads = ["Structure", self._first or "First reader", self._second or "Second reader"]
        self.table = QTableWidget(0, len(heads) + len(_KEYS))
        named(self.table, "readings_table", tr("Differences of the readings"), tr("Click a line to go there"))
        self.table.setHorizontalHeaderLabels(heads + [definitions[key].label for key in _KEYS])
        for column, key in enumerate(_KEYS, len(heads)):
            text = definitions[key].text.replace("the proposal", "the first reader's")
            self.table.horizontalHeaderItem(column).setToolTip(text)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.itemClicked.connect(self._on_item)
        self.table.itemActivated.connect(self._on_item)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        named(self.buttons, "readings_buttons")
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(em(self, 0.7))
        layout.addWidget(self.statement)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.buttons)
        self.resize(em(self, 56), em(self, 26))
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_compared)
        self.runner.failed.connect(lambda _: self.statement.setText(tr("The comparison failed; see the log.")))
        job: Job[tuple[Difference, ...]] = differences(former.structures, session.structures)
        self.runner.start(job, harmless=True)

    def _on_compared(self, found: tuple[Difference, ...]) -> None:
        self.statement.setText(agreement(found, self._first, self._second))
        self.table.setRowCount(len(found))
        for row, d in enumerate(found):
            shown = texts(d.figures)
            cells = [d.name, *(s.decision.text if s is not None else "not there" for s in (d.first, d.second))]
            for column, text in enumerate([*cells, *(shown.get(key, "–") for key in _KEYS)]):
                item = QTableWidgetItem(text)
                item.setData(Qt.ItemDataRole.UserRole, None if d.second is None else d.second.id)
                if column >= len(cells):
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        self.table.resizeColumnsToContents()
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def _on_item(self, item: QTableWidgetItem) -> None:
        structure_id = item.data(Qt.ItemDataRole.UserRole)
        if structure_id:
            self.chosen.emit(structure_id)

    def done(self, result: int) -> None:
        """Stop what runs and close."""
        self.runner.cancel()
        self.runner.wait(5)
        super().done(result)
