"""What the window shows of how the work is kept: trouble with the disk, a review taken over, someone else's review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QVBoxLayout

from contourdesk.app.checks import Finding
from contourdesk.app.journal import Journal
from contourdesk.app.review import ReviewSession
from contourdesk.widgets.autosave import Autosave
from contourdesk.widgets.desk import Desk
from contourdesk.widgets.language import tr
from contourdesk.widgets.notice import Notice


class Keeping(QObject):
    """Begins and ends autosave for the session on a desk, and tells about it in a bar above the images.

    `take_over_wanted` carries the session and the review folder that the reviewer wants to have.
    """

    take_over_wanted = Signal(object, object)

    def __init__(self, desk: Desk, autosave: Autosave) -> None:
        super().__init__(desk)
        self._desk, self._autosave = desk, autosave
        self._findings: dict[str, int] | None = None
        self.notice = Notice()
        column = desk.page.layout()
        if isinstance(column, QVBoxLayout):
            column.insertWidget(0, self.notice)
        autosave.trouble.connect(self.notice.tell)
        autosave.extra = self._extra
        desk.findings.found.connect(self._on_found)

    def begin(self, session: ReviewSession, folder: Path, journal: Journal | None) -> None:
        """Keep a session that the desk shows from now on; one that is read-only is only told about."""
        self._findings = None
        self._desk.set_read_only(bool(session.read_only))
        if session.read_only:
            self._autosave.state_changed.emit(tr("Read-only"), False)
            self.notice.tell(
                tr("{read_only} You are looking on and can change nothing.").format(read_only=session.read_only),
                tr("Take over…"),
                lambda: self.take_over_wanted.emit(session, folder),
                tr("Go on with this review yourself; you are asked first"),
            )
        else:
            self.notice.tell("")
            self._autosave.begin(session, folder, journal)
            if session.blind:
                session.note("blind mode", on=True)

    def _on_found(self, found: Sequence[Finding]) -> None:
        counts = dict(Counter(finding.severity for finding in found))
        if counts != self._findings:
            self._findings = counts
            self._autosave.touch()  # the worklist tells how many there are

    def _extra(self) -> dict[str, object]:
        return {} if self._findings is None else {"findings": self._findings}
