"""Runs the automatic checks in a worker whenever the structures have been left alone for a moment."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer, Signal

from contourdesk.app.checks import Finding, check
from contourdesk.app.review import ReviewSession
from contourdesk.widgets.jobs import JobRunner

_QUIET_MS = 1200


class Findings(QObject):
    """`found` carries the list of `Finding` for the session as it is; checks never disturb the reviewer."""

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
        self.runner.start(check(self._session.structures, self._session.case.volume), harmless=True)

    def _on_found(self, found: list[Finding]) -> None:
        if self._session is not None and self._session.revision == self._checked:
            self.found.emit(found)
