"""Which plane is drawn when: the one that somebody points at first, the others a little later, one by one."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QObject, QTimer

from contourdesk.widgets.plane_view import PlaneView

_FRAME_MS = 15  # so far the other planes are behind, and behind each other
_STROKE_MS = 80  # the same while a stroke is drawn


class Following(QObject):
    """Has `planes` drawn. A frame of all of them at once takes so long that undo would be felt to drag."""

    def __init__(self, planes: Mapping[str, PlaneView], parent: QObject) -> None:
        super().__init__(parent)
        self._planes = planes
        self._behind: list[str] = []  # planes that still show what was before
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._next)

    def draw(self, first: str, *, stroke: bool = False) -> None:
        """Draw the plane `first` now and let the others follow."""
        self._planes[first].refresh()
        self._behind += [name for name in self._planes if name != first and name not in self._behind]
        if not self._timer.isActive():  # or a drag that never rests would keep the others from following
            self._timer.start(_STROKE_MS if stroke else _FRAME_MS)

    def finish(self) -> None:
        """Draw now all that is behind."""
        while self._behind:
            self._planes[self._behind.pop(0)].refresh()

    def stop(self) -> None:
        """Draw no more."""
        self._timer.stop()
        self._behind.clear()

    def _next(self) -> None:
        if self._behind:
            self._planes[self._behind.pop(0)].refresh()
            if self._behind:
                self._timer.start(_FRAME_MS)
