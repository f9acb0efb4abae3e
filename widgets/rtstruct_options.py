"""How an RTSTRUCT is written and for which planning system, and what that system would refuse."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from contourdesk.app.case import Case
from contourdesk.app.dicom_write import RtStructOptions, check_export
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.profiles import profiles
from contourdesk.app.rt_findings import RtFinding
from contourdesk.app.structures import Structure
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role

_QUIET_MS = 150
_SHOWN = 4
_CONTOURS = (
    ("voxel edges", "On voxel edges", "Along the edges of the voxels: any reader gets the very same mask back."),
    ("smooth", "Smooth", "Rounded, with every voxel's centre on its side: the same mask is read back."),
)
_HOLES = (
    ("", "Holes as the system wants", "As the table of planning systems says."),
    ("keyhole", "Holes as keyholes", "One contour, joined to the hole by a bridge of no width."),
    ("inner loops", "Holes as inner contours", "A contour of its own for each hole."),
    ("xor", "Holes as XOR contours", "CLOSEDPLANAR_XOR, as newer DICOM has it."),
)


class RtStructForm(QWidget):
    """Planning system, kind of contours and holes; checks in a worker what the system would say.

    `found` carries the list of `RtFinding` for the structures that were set last.
    """

    found = Signal(object)

    def __init__(self, case: Case, system: str = "generic", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("rtstruct_form")
        self._case = case
        self._structures: tuple[Structure, ...] = ()
        self._asked: object = None
        self.findings: list[RtFinding] = []
        self.system, self.contours, self.holes = QComboBox(), QComboBox(), QComboBox()
        named(self.system, "export_system", tr("Planning system that is to read the RTSTRUCT"))
        for name, profile in profiles().items():
            self.system.addItem(tr("Any system") if name == "generic" else profile.title, name)
        self.system.setCurrentIndex(max(self.system.findData(system), 0))
        named(self.contours, "export_contours", tr("Kind of contours"))
        named(self.holes, "export_holes", tr("How holes are drawn"))
        for box, rows in ((self.contours, _CONTOURS), (self.holes, _HOLES)):
            for value, text, tip in rows:
                box.addItem(tr(text), value)
                box.setItemData(box.count() - 1, tr(tip), Qt.ItemDataRole.ToolTipRole)
        self.text = QLabel()
        named(self.text, "export_findings", tr("What the planning system would refuse"))
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_found)
        self.runner.failed.connect(lambda error: self._show(str(error), "warning"))
        self.runner.cancelled.connect(self._ask)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._ask)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(em(self, 1.6), 0, 0, em(self, 0.2))
        layout.setSpacing(em(self, 0.3))
        row = QHBoxLayout()
        row.addWidget(QLabel(tr("RTSTRUCT for")))
        for box in (self.system, self.contours, self.holes):
            row.addWidget(box, 1)
            box.currentIndexChanged.connect(self._ask_soon)
        layout.addLayout(row)
        layout.addWidget(self.text)
        self.text.hide()

    @property
    def options(self) -> RtStructOptions:
        """What is chosen."""
        return RtStructOptions(
            contours=self.contours.currentData(), holes=self.holes.currentData(), profile=self.system.currentData()
        )

    @property
    def refused(self) -> bool:
        """Whether the planning system would refuse the set, as far as is known."""
        return any(f.severity == "error" for f in self.findings)

    def set_structures(self, structures: Sequence[Structure]) -> None:
        """Check for these structures."""
        if self._structures != tuple(structures):
            self._structures = tuple(structures)
            self._ask_soon()

    def _ask_soon(self) -> None:
        self._timer.start()

    def _ask(self) -> None:
        question = (self._structures, self.options)
        if question == self._asked:
            return
        if self.runner.running:
            self.runner.cancel()
            return
        self._asked = question
        if not self._structures:
            self._on_found([])
            return
        self.runner.start(_check(self._case, self._structures, self.options), harmless=True)

    def _on_found(self, findings: list[RtFinding]) -> None:
        if self._asked != (self._structures, self.options):
            self._ask()
            return
        self.findings = findings
        lines = [f.text for f in findings[:_SHOWN]]
        if len(findings) > _SHOWN:
            lines.append(f"And {len(findings) - _SHOWN} more.")
        self._show("\n".join(lines), "warning" if findings else "muted")
        self.text.setToolTip("\n".join(f.text for f in findings))
        self.found.emit(findings)

    def _show(self, text: str, role: str) -> None:
        self.text.setText(text)
        self.text.setVisible(bool(text))
        set_role(self.text, role)


def _check(case: Case, structures: Sequence[Structure], options: RtStructOptions) -> Job[list[RtFinding]]:
    yield Progress(0, 0, tr("Checking"))
    return check_export(case, structures, options=options)
