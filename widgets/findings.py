"""Runs the automatic checks in a worker whenever the structures have been left alone for a moment."""

from __future__ import annotations

from contourdesk.app.jobs import Job, Progress
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import StructureSet
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.review_panel import FindingRow
from qtpy.QtCore import QObject, QTimer, Signal

_QUIET_MS = 1200


def run_checks(structures: StructureSet) -> Job[list[FindingRow]]:
    """Job: check all structures; findings in the order of the list."""
    from contourdesk.app.checks import check

    yield Progress(0, 1, "Checking")
    return [FindingRow(f.text, f.structure_id, f.point_lps) for f in check(structures)]


class Findings(QObject):
    """`found` carries a list of `FindingRow` for the session as it is; checks never disturb the reviewer."""

    found = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session: ReviewSession | None = None
        self._checked = -1
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_found)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._check)

    def set_session(self, session: ReviewSession | None) -> None:
        """Check another session, soon."""
        self.runner.cancel()
        self._session = session
        if session is None:
            self._timer.stop()
        else:
            self._timer.start()

    def note_change(self) -> None:
        """Check again when no further change comes."""
        self._timer.start()

    def _check(self) -> None:
        if self._session is None:
            return
        if self.runner.running:
            self._timer.start()
            return
        self._checked = self._session.revision
        self.runner.start(run_checks(self._session.structures), harmless=True)

    def _on_found(self, rows: list[FindingRow]) -> None:
        if self._session is not None and self._session.revision == self._checked:
            self.found.emit(rows)
