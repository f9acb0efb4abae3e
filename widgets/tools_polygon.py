"""The polygon: corners by clicks, its inside is added or taken away."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent, QPen

from contourdesk.app.footprints import polygon, stamp
from contourdesk.app.geometry import ViewPlane
from contourdesk.widgets.tool import Sketch, Spot, Tool

_CLOSE_PX = 9.0  # a click this near to the first corner closes it


class Polygon(Tool):
    """Adds the inside of a polygon."""

    id = "polygon"
    text = "Polygon"
    icon = "tool-polygon"
    shortcut = "G"
    tip = "Add the inside of a polygon"
    hint = "Click the corners. Double click or Enter adds the inside, with Shift takes it away. Esc gives up."
    _plane: ViewPlane | None = None
    _slice = 0

    @property
    def busy(self) -> bool:
        """Whether a polygon is being drawn."""
        return self._plane is not None

    def press(self, at: Spot) -> None:
        """Add a corner, or close the polygon on its first one."""
        if self.editor.structure() is None:
            return
        if self._plane is None or self._plane.name != at.plane.name or self._slice != at.slice:
            self._plane, self._slice = at.plane, at.slice
            self._corners: list[tuple[float, float]] = []
        if len(self._corners) > 2 and at.distance_px(self._corners[0]) <= _CLOSE_PX:
            self._close(erase=at.takes_away)
            return
        if not self._corners or self._corners[-1] != at.flat:
            self._corners.append(at.flat)
        self.editor.redraw()

    def double_click(self, at: Spot) -> None:
        """Close the polygon."""
        self._close(erase=at.takes_away)

    def key(self, event: QKeyEvent) -> bool:
        """Close with Enter, take back the last corner with Backspace."""
        if self._plane is None:
            return False
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._close(erase=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        elif event.key() == Qt.Key.Key_Backspace:
            self._corners.pop()
            if not self._corners:
                self._plane = None
            self.editor.redraw()
        else:
            return False
        return True

    def cancel(self) -> None:
        """Forget the polygon."""
        self._plane = None
        self.editor.redraw()

    def _close(self, *, erase: bool) -> None:
        plane, structure, session = self._plane, self.editor.structure(), self.editor.session
        if plane is None or structure is None or session is None:
            return
        if len(self._corners) < 3:
            self.editor.say("A polygon needs at least three corners.")
            return
        points = np.zeros((len(self._corners), 3))
        points[:, [plane.vertical_axis, plane.horizontal_axis]] = self._corners
        patch = polygon(session.structures.grid, points, plane.slice_axis, self._slice)
        self.cancel()
        self.editor.commit(structure.id, stamp(structure.mask, patch, erase=erase), "polygon")

    def draw(self, sketch: Sketch) -> None:
        """Corners, the line through them and on to the mouse, and the edge that would close it."""
        if self._plane is None or self._plane.name != sketch.plane.name or self._slice != sketch.slice:
            return
        painter = sketch.painter
        corners = [sketch.point(flat) for flat in self._corners]
        line = corners + ([sketch.cursor] if sketch.cursor is not None else [])
        painter.setPen(QPen(sketch.colour, 1.6))
        painter.drawPolyline(line)
        if len(line) > 2:
            painter.setPen(QPen(sketch.colour, 1, Qt.PenStyle.DashLine))
            painter.drawLine(line[-1], line[0])
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(sketch.colour)
        for corner in corners:
            painter.drawEllipse(corner, 3.0, 3.0)
        painter.setBrush(Qt.BrushStyle.NoBrush)
