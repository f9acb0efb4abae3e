"""Runs a job (see `contourdesk.app.jobs`) in a thread and reports to the main thread.

A plain Python thread on purpose: generator workers of napari and superqt lose a RuntimeError, and running out of
GPU memory is one. The thread knows nothing of Qt: what it has to tell goes into a queue that the main thread empties,
so that a window which closes in the meantime can't pull an object away from under it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.widgets.work_end import tell_end

log = logging.getLogger(__name__)

_REPORT_EVERY_S = 0.05  # more often than this nobody sees, and it would flood the event loop
_LOOK_EVERY_MS = 20
_PATIENCE_MS = 800

_Told = queue.SimpleQueue[tuple[int, str, object]]  # number of the job, what, payload


class JobRunner(QObject):
    """Runs one job at a time.

    For every job that was started exactly one of `succeeded`, `failed` and `cancelled` comes, on the main thread;
    no `progressed` comes after it.
    """

    progressed = Signal(object)  # Progress
    succeeded = Signal(object)  # what the job returned
    failed = Signal(object)  # the exception
    cancelled = Signal()

    def __init__(self, parent: QObject | None = None, title: str = "") -> None:
        """With a `title`, the end of a long job is told (see `work_end`) when the user is in another window."""
        super().__init__(parent)
        self._title, self._began = title, 0.0
        self._number = 0
        self._running = False
        self._harmless = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: _Told = queue.SimpleQueue()
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_EVERY_MS)
        self._timer.timeout.connect(self.deliver)

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
        self._began = time.monotonic()
        self._running, self._harmless, self._stop = True, harmless, threading.Event()
        before = self._thread  # an abandoned job may still be in its last step: don't load a second model beside it
        arguments = (job, self._number, self._stop, before, self._told)
        self._thread = threading.Thread(target=_work, args=arguments, name=f"job-{self._number}", daemon=True)
        self._thread.start()
        self._timer.start()

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

    def deliver(self) -> None:
        """Report what the thread has told so far; comes by itself while the event loop runs."""
        while True:
            try:
                number, what, payload = self._told.get_nowait()
            except queue.Empty:
                return
            self._on_told(number, what, payload)

    def _on_told(self, number: int, what: str, payload: object) -> None:
        if number != self._number or not self._running:
            return  # the end of an abandoned job
        if what == "progressed":
            self.progressed.emit(payload)
            return
        self._running = False
        self._timer.stop()
        if what == "cancelled":
            self.cancelled.emit()
        else:
            (self.succeeded if what == "succeeded" else self.failed).emit(payload)
            if self._title:
                tell_end(self, self._title, time.monotonic() - self._began, good=what == "succeeded")


# From here on: the worker thread.


def _work(job: Job[Any], number: int, stop: threading.Event, before: threading.Thread | None, told: _Told) -> None:
    if before is not None:
        before.join()
    what, payload = _drive(job, number, stop, told)
    told.put((number, what, payload))


def _drive(job: Job[Any], number: int, stop: threading.Event, told: _Told) -> tuple[str, object]:
    last = 0.0
    try:
        try:
            while not stop.is_set():
                step: Progress = next(job)
                now = time.monotonic()
                if step.note or step.look is not None or now - last >= _REPORT_EVERY_S:
                    last = now
                    told.put((number, "progressed", step))
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
