"""A person who knows Contourdesk's window, for `review_run` and `clicks_run`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from person import Person, Trouble
from qtpy.QtCore import QPoint, Qt


class Reviewer(Person):
    """A person who knows Contourdesk's window. What is read of the session is for finding places and comparing."""

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def session(self) -> Any:
        """The open review."""
        return self.window.session  # type: ignore[attr-defined]

    @property
    def view(self) -> Any:
        """The views."""
        return self.window.view  # type: ignore[attr-defined]

    @property
    def active(self) -> Any:
        """The active structure."""
        return self.session.structures.get(self.window.table.active)  # type: ignore[attr-defined]

    def flat(self, plane: str = "axial") -> NDArray[np.bool_]:
        """The active structure on the slice shown, along the array's two other axes."""
        axis = self.view.planes[plane].plane.slice_axis
        return np.take(self.active.mask.dense(self.session.structures.grid.shape), self.view.cross_index[axis], axis)

    def spot(self, row_column: Sequence[float], plane: str = "axial") -> QPoint:
        """Where a place of the slice shown is on the screen."""
        pane = self.view.planes[plane]
        index = [float(i) for i in self.view.cross_index]
        for axis, value in zip([a for a in range(3) if a != pane.plane.slice_axis], row_column, strict=True):
            index[axis] = value
        return pane.position_of(tuple(index)).toPoint()

    def middle(self) -> tuple[int, int]:
        """The pixel of the axial slice that lies deepest in the active structure."""
        from scipy.ndimage import distance_transform_edt

        deep = distance_transform_edt(np.pad(self.flat(), 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(np.argmax(deep)), deep.shape)
        return int(row), int(column)

    def edge(self, right: bool = True) -> tuple[int, int]:
        """The last pixel of the structure from its middle to one side."""
        row, column = self.middle()
        step, flat = 1 if right else -1, self.flat()
        while flat[row, column + step]:
            column += step
        return row, column

    # -- doing ----------------------------------------------------------------------------------------------------

    @property
    def axial(self) -> Any:
        """The widget of the axial view."""
        return self.view.planes["axial"].native

    def choose_structure(self, name: str) -> None:
        """Click a structure's line in the list."""
        table = self.window.table  # type: ignore[attr-defined]
        wanted = self.session.structures.named(name)
        row = table.rows.row_for(table.model.row_of(wanted.id))
        self.line(table.view, table.rows.index(row, 2))
        if self.active.id != wanted.id:
            raise Trouble(f"a click on {name} chose {self.active.name}")

    def stroke(self, start: Sequence[float], end: Sequence[float], keys=Qt.KeyboardModifier.NoModifier) -> None:
        """Drag over the axial view from one pixel to another."""
        a, b = self.spot(start), self.spot(end)
        self.drag(self.axial, [a + (b - a) * n / 8 for n in range(9)], keys=keys)

    def changes(self, doing: str, act: Callable[[], None], wait_s: float = 20) -> float:
        """Do something that must change the active structure's mask as one step; the seconds the program took."""
        before, steps = self.active.mask, self.session.revision
        start = time.monotonic()
        act()
        self.wait(doing, lambda: not self.active.mask.equals(before), wait_s)
        if self.session.revision != steps + 1:
            raise Trouble(f"{doing} was {self.session.revision - steps} steps")
        return time.monotonic() - start
