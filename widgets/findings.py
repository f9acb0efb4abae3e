"""Runs the automatic checks in a worker whenever the structures have been left alone for a moment."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer, Signal

from contourdesk.app.checks import Checker, Finding
from contourdesk.app.review import ReviewSession
from contourdesk.widgets.jobs import JobRunner

_QUIET_MS = 1200


class Findings(QObject):
    """`found` carries the list of `Finding` for the session as it is; checks never disturb the reviewer.

    `checking` comes when what was found is no longer sure to hold, and until the next `found` it isn't; `failed` when
    checks could not be made.
    """

    checking = Signal()
    found = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session: ReviewSession | None = None
        self._checker = Checker()
        self._checked = -1
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_found)
        self.runner.failed.connect(self.failed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._check)

    def set_session(self, session: ReviewSession | None) -> None:
        """Check another session, soon."""
        self.runner.cancel()
        self._session = session
        self._checker = Checker(None if session is None else session.case.volume)
        if session is None:
            self._timer.stop()
        else:
            self.note_change()

    def note_change(self) -> None:
        """Check again when no further change comes."""
        self._timer.start()
        self.checking.emit()

    def _check(self) -> None:
        if self._session is None:
            return
        if self.runner.running:
            self._timer.start()
            return
        self._checked = self._session.revision
        self.runner.start(self._checker.check(self._session.structures), harmless=True)

    def _on_found(self, found: list[Finding]) -> None:
        if self._session is not None and self._session.revision == self._checked:
            self.found.emit(found)
