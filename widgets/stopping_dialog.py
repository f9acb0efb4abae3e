"""A dialog whose work goes on while it is open: closing it stops the work first."""

from __future__ import annotations

from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QDialog

from contourdesk.widgets.jobs import JobRunner


class StoppingDialog(QDialog):
    """Closing, Escape and Close stop a running job; it says what was done, and can then be closed.

    Attributes
    ----------
    runner : of the dialog's work; the subclass makes it.
    """

    runner: JobRunner

    def closeEvent(self, event: QCloseEvent) -> None:
        """Stop what runs first."""
        if self.runner.running:
            self.runner.cancel()
            event.ignore()
        else:
            super().closeEvent(event)

    def reject(self) -> None:
        """Stop what runs first."""
        if self.runner.running:
            self.runner.cancel()
        else:
            super().reject()
