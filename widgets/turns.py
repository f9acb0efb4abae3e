"""Work that only the main thread may do, done in small steps, so that the window answers between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QObject, QTimer


class Turns(QObject):
    """Does steps one by one, each in a turn of the event loop of its own.

    Parameters
    ----------
    rest_ms : how long the loop has between two steps.
    parent : goes, and the steps that are left are never done.
    """

    def __init__(self, parent: QObject, rest_ms: int = 0) -> None:
        super().__init__(parent)
        self._left: list[Callable[[], object]] = []
        self._timer = QTimer(self, singleShot=True, interval=rest_ms)
        self._timer.timeout.connect(self._step)

    def start(self, steps: Sequence[Callable[[], object]]) -> None:
        """Do `steps`, after what is still to be done."""
        self._left += steps
        if self._left and not self._timer.isActive():
            self._timer.start()

    def finish(self) -> None:
        """Do at once all that is left."""
        self._timer.stop()
        while self._left:
            self._left.pop(0)()

    def stop(self) -> None:
        """Forget what is left."""
        self._timer.stop()
        self._left.clear()

    def _step(self) -> None:
        if self._left:
            step = self._left.pop(0)
            if self._left:
                self._timer.start()
            step()
