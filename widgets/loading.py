"""The page that is shown while a case is being read, and the reading itself, in a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from contourdesk.app.jobs import Job, Progress
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.look_view import LookView
from contourdesk.widgets.theme import em, named, set_role


class LoadingPage(QWidget):
    """Runs one reading job and shows its progress with a Cancel button."""

    failed = Signal(object)  # exception
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("loading_page")
        self._then: Callable[[Any], None] | None = None
        self._otherwise: Callable[[BaseException], None] | None = None
        self._next: Callable[[], None] | None = None
        self.runner = JobRunner(self)
        self.title = QLabel()
        named(self.title, "loading_title")
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        set_role(self.title, "strong")
        self.text = QLabel()
        named(self.text, "loading_text")
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        set_role(self.text, "muted")
        self.bar = QProgressBar()
        named(self.bar, "loading_progress", tr("Progress of reading"))
        self.bar.setTextVisible(False)
        self.cancel_button = QPushButton(tr("Cancel"))
        named(self.cancel_button, "loading_cancel", tr("Cancel reading"))
        self.cancel_button.clicked.connect(self.cancel)
        self.look = LookView()
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_result)
        self.runner.failed.connect(self._on_failure)
        self.runner.cancelled.connect(self._on_cancelled)
        self._build()

    def _build(self) -> None:
        box = QWidget()
        box.setMaximumWidth(em(self, 34))
        column = QVBoxLayout(box)
        column.setSpacing(em(self, 0.6))
        for widget in (self.title, self.bar, self.text):
            column.addWidget(widget)
        column.addWidget(self.cancel_button, 0, Qt.AlignmentFlag.AlignRight)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(box, 10)
        row.addStretch(1)
        outer = QVBoxLayout(self)
        outer.addWidget(self.look, 1000)  # all the room there is, once there is something to see
        outer.addStretch(2)
        outer.addLayout(row)
        outer.addStretch(3)

    def start(
        self,
        job: Job[Any],
        title: str,
        then: Callable[[Any], None],
        otherwise: Callable[[BaseException], None] | None = None,
        *,
        harmless: bool = True,
    ) -> None:
        """Run `job`, then call `then` with its result. A job that runs already is cancelled first.

        Parameters
        ----------
        otherwise : called with the exception when the job fails, in place of the signal `failed`.
        harmless : see `JobRunner.start`; a job that is not can't be cancelled here, it is short.
        """
        self.title.setText(title)
        self.text.setText("")
        self.bar.setRange(0, 0)
        self.cancel_button.setEnabled(harmless)
        if self.runner.running:
            self._next = lambda: self.start(job, title, then, otherwise, harmless=harmless)
            self.runner.cancel()
            return
        self._stopped, self._then, self._otherwise = False, then, otherwise
        self.runner.start(job, harmless=harmless)

    def cancel(self) -> None:
        """Stop reading."""
        self.text.setText(tr("Stopping…"))
        self.cancel_button.setEnabled(False)
        self._stopped = True
        self._next = None
        self.runner.cancel()

    def _on_progress(self, step: Progress) -> None:
        if not self._stopped and self._next is None:
            if step.look is not None:
                self.look.show_look(step.look)
            self.bar.setRange(0, step.total)
            self.bar.setValue(step.done)
            self.text.setText(step.text)

    def _on_result(self, result: object) -> None:
        if self._go_on() or self._then is None:
            return
        if self._stopped:
            self.cancelled.emit()  # it was done in the very moment in which the user stopped it
            return
        self._then(result)

    def _on_failure(self, error: BaseException) -> None:
        if self._go_on():
            return
        if self._otherwise is not None:
            self._otherwise(error)
        else:
            self.failed.emit(error)

    def _on_cancelled(self) -> None:
        if not self._go_on():
            self.cancelled.emit()

    def _go_on(self) -> bool:
        """Start the job that was waiting for this one's end."""
        if self._next is None:
            return False
        start, self._next = self._next, None
        start()
        return True

    _stopped = False
