"""Keeps the review folder up to date: every 20 s, at once when asked, and when the case is left."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, run
from contourdesk.app.journal import Journal
from contourdesk.app.project import open_review, save
from contourdesk.app.review import Record, ReviewSession
from contourdesk.widgets.jobs import JobRunner

log = logging.getLogger(__name__)

EVERY_MS = 20_000


class Autosave(QObject):
    """Saves one session at a time.

    `state_changed` carries a text for the status bar and whether all is well; `failed` an exception, once for each
    row of failures: the session stays as it is, and every later save tries again.
    """

    state_changed = Signal(str, bool)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session: ReviewSession | None = None
        self.folder: Path | None = None
        self.journal: Journal | None = None
        self._saved = -1  # revision
        self._saving = -1
        self._again = self._broken = False
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_saved)
        self.runner.failed.connect(self._on_failed)
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.save_if_changed)

    def begin(self, session: ReviewSession, folder: Path, journal: Journal | None) -> None:
        """Look after `session`, which was just saved to `folder`; without a journal that failed and is tried again."""
        self.session, self.folder = session, folder
        self._saved, self._broken = session.revision if journal is not None else -1, journal is None
        if journal is not None:
            self._attach(journal)
            self._say_saved()
        else:
            self.state_changed.emit("Not saved", False)
        self._timer.start()

    @property
    def changed(self) -> bool:
        """Whether there is something that the last save has not."""
        return self.session is not None and (self.session.revision != self._saved or self.journal is None)

    def note_change(self) -> None:
        """Say that there is something to save."""
        if not self._broken and self.changed and not self.runner.running:
            self.state_changed.emit("Edited, saved in a moment", True)

    def save_if_changed(self) -> None:
        """Save unless the last save has everything."""
        if self.changed:
            self.save_now()

    def save_now(self) -> None:
        """Save in a worker; when a save is running, once more after it."""
        if self.session is None or self.folder is None:
            return
        if self.runner.running:
            self._again = True
            return
        self._saving = self.session.revision
        snapshot = self.session.snapshot()
        job: Job[Any] = save(snapshot, self.folder) if self.journal else open_review(snapshot, self.folder)
        self.state_changed.emit("Saving…", not self._broken)
        self.runner.start(job)

    def last_save(self) -> Job[None] | None:
        """The job that saves what is not saved yet, for leaving the case; None when there is nothing to save.

        Raises UserError when a save is still running after 5 s.
        """
        if not self.runner.wait(5):
            raise UserError("A save is still running.", "Wait a moment, then try again.")
        self.runner.deliver()  # its end may not be told yet
        if self.session is None or self.folder is None or not self.changed:
            return None
        return _save_and_release(self.session, self.folder, self.journal)

    def finish(self) -> None:
        """Save what is not saved yet, in this thread, for closing the window. Raises UserError."""
        job = self.last_save()
        if job is not None:
            run(job)
            if self.session is not None:
                self._saved = self.session.revision

    def end(self) -> None:
        """Let go of the session; call after its last save."""
        self._timer.stop()
        if self.session is not None:
            self.session.journal = None
        if self.journal is not None:
            self.journal.close()
        self.session, self.folder, self.journal = None, None, None
        self._again = self._broken = False
        self.state_changed.emit("", True)

    # -- slots ----------------------------------------------------------------------------------------------------

    def _attach(self, journal: Journal) -> None:
        if self.session is not None:
            self.journal = journal
            journal.attach(self.session)
            self.session.journal = self._append

    def _append(self, record: Record) -> None:
        # An edit must not fail because the disk is full: it stands in the session, and the user is told.
        try:
            if self.journal is not None:
                self.journal.append(record)
        except UserError as error:
            self._report(error)

    def _on_saved(self, result: object) -> None:
        if isinstance(result, Journal):
            if self.session is None or self.session.revision != result.revision:
                result.close()  # it moved on while the folder was being made: next time
                self._again = True
            else:
                self._attach(result)
        if self.session is None:
            return
        self._broken = False
        self._saved = self._saving
        self._say_saved()
        if self._again:
            self._again = False
            self.save_if_changed()

    def _on_failed(self, error: Exception) -> None:
        self._again = False
        if self.session is not None:
            self._report(error)

    def _report(self, error: Exception) -> None:
        self.state_changed.emit("Not saved", False)
        if not self._broken:
            self._broken = True
            self.failed.emit(error)

    def _say_saved(self) -> None:
        self.state_changed.emit(f"Saved {datetime.now():%H:%M}", True)
        self.note_change()


def _save_and_release(session: ReviewSession, folder: Path, journal: Journal | None) -> Job[None]:
    if journal is not None:
        yield from save(session.snapshot(), folder)
    else:
        (yield from open_review(session.snapshot(), folder)).close()
