"""Runs a job (see `contourdesk.app.jobs`) in a thread and reports to the main thread.

A plain Python thread on purpose: generator workers of napari and superqt lose a RuntimeError, and running out of
GPU memory is one.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress

log = logging.getLogger(__name__)

_REPORT_EVERY_S = 0.05  # more often than this nobody sees, and it would flood the event loop
_PATIENCE_MS = 800


class JobRunner(QObject):
    """Runs one job at a time.

    For every job that was started exactly one of `succeeded`, `failed` and `cancelled` comes, on the main thread;
    no `progressed` comes after it.
    """

    progressed = Signal(object)  # Progress
    succeeded = Signal(object)  # what the job returned
    failed = Signal(object)  # the exception
    cancelled = Signal()
    _told = Signal(int, str, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._number = 0
        self._running = False
        self._harmless = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._told.connect(self._on_told, Qt.ConnectionType.QueuedConnection)

    @property
    def running(self) -> bool:
        """Whether a job was started whose end has not been reported yet."""
        return self._running

    def start(self, job: Job[Any], *, harmless: bool = False) -> None:
        """Start `job` in a thread.

        Parameters
        ----------
        harmless : the job changes nothing outside itself. A cancel then never keeps the user waiting: if the job
            is in a long step, `cancelled` is reported without it, and its thread ends at its next yield.

        Raises
        ------
        RuntimeError : a job is running.
        """
        if self._running:
            raise RuntimeError("a job is running already")
        self._number += 1
        self._running, self._harmless, self._stop = True, harmless, threading.Event()
        before = self._thread  # an abandoned job may still be in its last step: don't load a second model beside it
        self._thread = threading.Thread(
            target=self._work, args=(job, self._number, self._stop, before), name=f"job-{self._number}", daemon=True
        )
        self._thread.start()

    def cancel(self) -> None:
        """Ask the running job to stop at its next yield. Does nothing when none runs."""
        if not self._running or self._stop.is_set():
            return
        self._stop.set()
        if self._harmless:
            number = self._number
            QTimer.singleShot(_PATIENCE_MS, self, lambda: self._on_told(number, "cancelled", None))

    def wait(self, timeout_s: float) -> bool:
        """Block until the thread has ended, for closing the window; False if it has not. The end is still reported."""
        if self._thread is not None:
            self._thread.join(timeout_s)
            return not self._thread.is_alive()
        return True

    def _on_told(self, number: int, what: str, payload: object) -> None:
        if number != self._number or not self._running:
            return  # the end of an abandoned job
        if what == "progressed":
            self.progressed.emit(payload)
            return
        self._running = False
        if what == "cancelled":
            self.cancelled.emit()
        else:
            (self.succeeded if what == "succeeded" else self.failed).emit(payload)

    # From here on: the worker thread.

    def _work(self, job: Job[Any], number: int, stop: threading.Event, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        what, payload = self._drive(job, number, stop)
        self._tell(number, what, payload)

    def _drive(self, job: Job[Any], number: int, stop: threading.Event) -> tuple[str, object]:
        last = 0.0
        try:
            try:
                while not stop.is_set():
                    step: Progress = next(job)
                    now = time.monotonic()
                    if now - last >= _REPORT_EVERY_S:
                        last = now
                        self._tell(number, "progressed", step)
            except StopIteration as end:
                return "succeeded", end.value
            job.close()
        except UserError as error:
            log.info("a job ended with an error for the user")  # its text may name folders and patients
            return "failed", error
        except Exception as error:
            # Wherever it comes from, clean-up included, it must reach the user.
            log.exception("a job failed")
            return "failed", error
        return "cancelled", None

    def _tell(self, number: int, what: str, payload: object) -> None:
        try:
            self._told.emit(number, what, payload)
        except RuntimeError:
            log.debug("job %d ended after its window was gone", number)
