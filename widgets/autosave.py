"""Keeps the review folder up to date: every 20 s, at once when asked, and when the case is left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, run
from contourdesk.app.journal import Journal
from contourdesk.app.record_keeper import RecordKeeper
from contourdesk.app.rescue import Kept, Place, keep
from contourdesk.app.review import Change, ReviewSession
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr

log = logging.getLogger(__name__)

EVERY_MS = 20_000
_LOOK_MS = 200
_PATIENCE_S = 5.0


class Autosave(QObject):
    """Saves one session at a time.

    `state_changed` carries a text for the status bar and whether all is well; `trouble` what stands in the way of
    saving and where the work is meanwhile, for as long as that is so, and an empty text when it is over; `failed` an
    exception when the work could be saved nowhere, once for each row of failures.

    Attributes
    ----------
    extra : asked at each save for what goes into ``case.json`` besides.
    """

    state_changed = Signal(str, bool)
    trouble = Signal(str)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session: ReviewSession | None = None
        self.extra: Callable[[], Mapping[str, Any]] = dict
        self._place: Place | None = None
        self._keeper = RecordKeeper()
        self._saved = -1  # revision
        self._again = self._broken = False
        self._trouble_since = ""
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_kept)
        self.runner.failed.connect(self._on_failed)
        self._timer, self._look = QTimer(self), QTimer(self)
        for timer, every, slot in ((self._timer, EVERY_MS, self._on_time), (self._look, _LOOK_MS, self._on_look)):
            timer.setInterval(every)
            timer.timeout.connect(slot)

    @property
    def folder(self) -> Path | None:
        """The review folder of the session."""
        return None if self._place is None else self._place.folder

    @property
    def journal(self) -> Journal | None:
        """The open journal there, None while there is none."""
        return None if self._place is None else self._place.journal

    def begin(self, session: ReviewSession, folder: Path, journal: Journal | None) -> None:
        """Look after `session`, which was just saved to `folder`; without a journal that failed and is tried again."""
        self.session, self._place = session, Place(folder, journal)
        self._saved, self._broken = session.revision if journal is not None else -1, journal is None
        self._keeper = RecordKeeper()
        self._attach()
        if journal is not None:
            self._say_saved()
        else:
            self.state_changed.emit(tr("Not saved"), False)
        self._timer.start()
        self._look.start()

    @property
    def changed(self) -> bool:
        """Whether there is something that the last save has not."""
        return self.session is not None and (self.session.revision != self._saved or self.journal is None)

    def follow(self, change: Change) -> None:
        """Save a decision at once, and anything else in a moment."""
        if change.what == "decided":
            self.save_now()
        self.note_change()

    def note_change(self) -> None:
        """Say that there is something to save."""
        if not self._broken and self.changed and not self.runner.running:
            self.state_changed.emit(tr("Edited, saved in a moment"), True)

    def touch(self) -> None:
        """Have it saved once more, for what `extra` has to add."""
        self._saved = -1

    def save_if_changed(self) -> None:
        """Save unless the last save has everything."""
        if self.changed:
            self.save_now()

    def save_now(self) -> None:
        """Save in a worker; when a save is running, once more after it."""
        if self.session is None or self._place is None:
            return
        if self.runner.running:
            self._again = True
            return
        self.state_changed.emit(tr("Saving…"), not self._broken)
        self.runner.start(keep(self.session.snapshot(), self._with_missed(self._place), self.extra()))

    def _with_missed(self, place: Place) -> Place:
        """With the records that no journal took."""
        records = (*place.waiting.records, *self._keeper.take_missed())
        return replace(place, waiting=replace(place.waiting, records=records))

    def flush(self) -> bool:
        """Wait until every edit is in the journal; False when that takes longer than 5 s."""
        return self._keeper.flush(_PATIENCE_S)

    def last_save(self) -> Job[None] | None:
        """The job that saves what is not saved yet and closes the files, for leaving the case; None without a case.

        Raises UserError when a save is still running after 5 s.
        """
        if not self.runner.wait(_PATIENCE_S):
            raise UserError(tr("A save is still running."), tr("Wait a moment, then try again."))
        self.runner.deliver()  # its end may not be told yet
        if self.session is None or self._place is None:
            return None
        return self._save_to_leave(self.session, self._place, changed=self.changed)

    def _save_to_leave(self, session: ReviewSession, place: Place, *, changed: bool) -> Job[None]:
        self._keeper.flush(_PATIENCE_S)
        if changed:
            kept = yield from keep(session.snapshot(), self._with_missed(place), self.extra())
            place = self._place = kept.place
            if kept.error is not None and place.rescue is None:
                raise kept.error
        for journal in (place.journal, place.rescue):
            if journal is not None:
                journal.close()

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
        self._look.stop()
        self._keeper.close(_PATIENCE_S)
        if self.session is not None:
            self.session.journal = self.session.audit = None
        if self._place is not None:
            for journal in (self._place.journal, self._place.rescue):
                if journal is not None:
                    journal.close()
        self.session, self._place = None, None
        self._again = self._broken = False
        self._say_trouble("")
        self.state_changed.emit("", True)

    # -- slots ----------------------------------------------------------------------------------------------------

    def _attach(self) -> None:
        """Let the session write into the journals of its place; one that it has moved on from is closed."""
        session, place = self.session, self._place
        if session is None or place is None:
            return
        if place.journal is not None and place.journal.revision != session.revision:
            waiting = place.journal.give_up()  # the session moved on while the folder was being made: next time
            place = self._place = replace(place, journal=None, waiting=waiting)
            self._again = True
        if place.journal is not None:
            place.journal.attach(session)
        if place.rescue is not None and place.rescue.revision != session.revision:
            self._again = True  # its journal would have a gap
        self._keeper.journal, self._keeper.rescue = place.journal, place.rescue
        session.journal, session.audit = self._keeper.put, self._keeper.note

    def _on_time(self) -> None:
        if self._place is not None and (self.changed or self._place.rescue is not None):
            self.save_now()

    def _on_look(self) -> None:
        """See whether an edit could not be written, or the folder was taken over."""
        failure = self._keeper.take_failure()
        journal = self.journal
        if failure is not None or (journal is not None and journal.lease.lost):
            if failure is not None and not self._broken:
                self._broken = True
                self.state_changed.emit(tr("Not saved"), False)
            self.save_now()

    def _on_kept(self, kept: Kept) -> None:
        if self.session is None:
            return
        fresh = self._place is None or kept.place.journal is not self._place.journal
        fresh = fresh or kept.place.rescue is not (self._place.rescue if self._place else None)
        self._place = kept.place
        self._broken = kept.error is not None
        if fresh:
            self._attach()
        if kept.error is None:
            self._saved = kept.revision
            self._say_saved()
        else:
            self.state_changed.emit(tr("Saved in another place only"), False)
        self._say_trouble(_trouble(kept, self._since(kept.error is not None)))
        if self._again:
            self._again = False
            self.save_now()

    def _since(self, broken: bool) -> str:
        self._trouble_since = (self._trouble_since or f"{datetime.now():%H:%M}") if broken else ""
        return self._trouble_since

    def _on_failed(self, error: Exception) -> None:
        self._again = False
        if self.session is None:
            return
        self.state_changed.emit(tr("Not saved"), False)
        told, self._broken = self._trouble_since != "", True
        self._say_trouble(
            tr("{error} It could not be saved in any other place either. Don't close the program.").format(error=error)
        )
        self._since(True)
        if not told:
            self.failed.emit(error)

    def _say_trouble(self, text: str) -> None:
        self.trouble.emit(text)

    def _say_saved(self) -> None:
        self.state_changed.emit(tr("Saved {now:%H:%M}").format(now=datetime.now()), True)
        self.note_change()


def _trouble(kept: Kept, since: str) -> str:
    """What to tell the user for as long as it is so."""
    place = kept.place
    if kept.error is not None and place.rescue is not None:
        return (
            f"Since {since}: {kept.error.message} Nothing is lost: your work is in {place.rescue.folder}. "
            "Go on; saving in its own place is tried every 20 seconds."
        )
    if place.lost_to is not None:
        who = place.lost_to.text.replace(" has this case open since ", " has had this case since ")
        what = who if place.lost_to.epoch else "Someone else has changed this review in the meantime"
        return f"{what}. Nothing of yours or theirs is lost: your edits are kept apart, in {place.folder}."
    return ""
