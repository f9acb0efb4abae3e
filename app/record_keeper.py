"""Writes the records of a session to its journal in a thread of its own, so that a slow disk stops no hand.

An edit waits for the one before it to be on the disk, at most `PATIENCE_S`: on a drive that keeps up, a crash costs at
most the last stroke, and on one that doesn't, the window stays alive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from contourdesk.app.errors import UserError
from contourdesk.app.journal import Journal
from contourdesk.app.review import Record

log = logging.getLogger(__name__)

PATIENCE_S = 0.04


class RecordKeeper:
    """`put` and `note` come from the main thread; what fails is asked for with `take_failure`.

    Attributes
    ----------
    journal, rescue : where to write; while `rescue` is set records go there as well. Change them between two `put`s.
    """

    def __init__(self, journal: Journal | None = None, rescue: Journal | None = None) -> None:
        self.journal, self.rescue = journal, rescue
        self._failure: UserError | None = None
        self._missed: list[Record] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._last: Future[Any] | None = None

    def put(self, record: Record) -> None:
        """Have a record written; waits for the one before."""
        if self.journal is None:
            self._missed.append(record)
        self._submit(lambda journal: journal.append(record), record)

    def note(self, what: str, details: dict[str, object]) -> None:
        """Have something noted in the audit trail that is no edit."""
        self._submit(lambda journal: journal.note(what, **details))

    def take_missed(self) -> tuple[Record, ...]:
        """Records that came while there was no journal to take them, for the next one."""
        missed, self._missed = self._missed, []
        return tuple(missed)

    def _submit(self, write: Callable[[Journal], None], record: Record | None = None) -> None:
        self.flush(PATIENCE_S)
        self._last = self._pool.submit(self._write, write, record, self.journal, self.rescue)

    def flush(self, patience_s: float) -> bool:
        """Wait until all is written; False when it was not after `patience_s`."""
        return self._last is None or bool(wait([self._last], patience_s).done)

    def take_failure(self) -> UserError | None:
        """What went wrong since this was asked last."""
        failure, self._failure = self._failure, None
        return failure

    def close(self, patience_s: float) -> None:
        """Write what is left, for as long as that, and end."""
        self.flush(patience_s)
        self._pool.shutdown(wait=False, cancel_futures=False)

    def _write(self, write: Callable[[Journal], None], record: Record | None, *journals: Journal | None) -> None:
        home = journals[0]
        for journal in (j for j in journals if j is not None):
            try:
                write(journal)
            except UserError as error:
                self._failure = error
            except ValueError:  # it was closed in the meantime
                if journal is home and record is not None:
                    self._missed.append(record)
            except OSError as error:
                log.warning("audit trail: %s", error)
                self._failure = UserError(f"{journal.folder} can't be written ({error.strerror}).", "Check the drive.")
