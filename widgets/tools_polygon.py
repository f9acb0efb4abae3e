"""Drawing an outline: freehand by dragging or corner by corner, its inside is added, taken away or all there is."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent, QPen
from qtpy.QtWidgets import QWidget

from contourdesk.app.footprints import Patch, polygon, stamp
from contourdesk.app.geometry import Grid, ViewPlane
from contourdesk.app.structures import Mask
from contourdesk.widgets.language import tr
from contourdesk.widgets.tool import Sketch, Spot, Tool
from contourdesk.widgets.tool_options import choice_row

_NEAR_PX = 9.0  # a press this near to a corner takes hold of it
_DRAG_PX = 4.0  # from here on a press is a freehand line
_STEP_PX = 1.5  # between two points of it
_EFFECTS = (
    ("add", "Add", "The inside is added; with Shift it is taken away"),
    ("remove", "Take away", "The inside is taken away; with Shift it is added"),
    ("replace", "Replace slice", "The slice becomes the inside, all else on it goes"),
)


class Polygon(Tool):
    """Draws an outline freehand or corner by corner."""

    id = "polygon"
    text = "Draw"
    icon = "tool-polygon"
    shortcut = "G"
    tip = "Draw an outline, freehand or corner by corner"
    hint = (
        "Drag round the region, or click corners and drag them: double click, Enter or the first corner closes. "
        "Shift takes the inside away, Backspace takes back a corner, Esc gives up."
    )
    _plane: ViewPlane | None = None
    _slice = 0
    _effect = "add"
    _grabbed: int | None = None
    _freehand = False
    _begun_empty = False
    _from: Spot | None = None

    @property
    def busy(self) -> bool:
        """Whether an outline is being drawn."""
        return self._plane is not None

    def options(self) -> QWidget:
        """What becomes of the inside."""
        return choice_row("polygon_effect", tr("The inside"), _EFFECTS, self._effect, self._choose)

    def _choose(self, effect: str) -> None:
        self._effect = effect

    def press(self, at: Spot) -> None:
        """Take hold of a corner, or add one."""
        if self.editor.structure() is None:
            return
        if self._plane is None or self._plane.name != at.plane.name or self._slice != at.slice:
            self._plane, self._slice = at.plane, at.slice
            self._corners: list[tuple[float, float]] = []
        near = [n for n, corner in enumerate(self._corners) if at.distance_px(corner) <= _NEAR_PX]
        self._from, self._freehand, self._begun_empty = at, False, not self._corners
        self._grabbed = min(near, key=lambda n: at.distance_px(self._corners[n]), default=None)
        if self._grabbed is None:
            self._corners.append(at.flat)
        self.editor.redraw()

    def move(self, at: Spot) -> None:
        """Drag the corner, or draw freehand."""
        if self._plane is None or self._from is None or at.plane.name != self._plane.name:
            return
        if not self._freehand and at.distance_px(self._from.flat) < _DRAG_PX:
            return
        self._freehand = True
        if self._grabbed is not None:
            self._corners[self._grabbed] = at.flat
        elif at.distance_px(self._corners[-1]) >= _STEP_PX:
            self._corners.append(at.flat)
        self.editor.redraw()

    def release(self, at: Spot) -> None:
        """Close a freehand line, or the polygon on its first corner."""
        begun, self._from = self._from, None
        if self._plane is None or begun is None:
            return
        clicked_first = self._grabbed == 0 and not self._freehand and len(self._corners) > 2
        if clicked_first or (self._freehand and self._grabbed is None and self._begun_empty):
            self._close(turned=at.takes_away or begun.takes_away)

    def double_click(self, at: Spot) -> None:
        """Close the polygon."""
        self._close(turned=at.takes_away)

    def key(self, event: QKeyEvent) -> bool:
        """Close with Enter, take back the last corner with Backspace."""
        if self._plane is None:
            return False
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._close(turned=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        elif event.key() == Qt.Key.Key_Backspace:
            self._corners.pop()
            if not self._corners:
                self._plane = None
            self.editor.redraw()
        else:
            return False
        return True

    def right_click(self, at: Spot) -> bool:
        """Remove the corner under the mouse."""
        if self._plane is None:
            return False
        for n, corner in enumerate(self._corners):
            if at.distance_px(corner) <= _NEAR_PX:
                del self._corners[n]
                if not self._corners:
                    self._plane = None
                self.editor.redraw()
                return True
        return False

    def cancel(self) -> None:
        """Forget the outline."""
        self._plane = self._from = None
        self.editor.redraw()

    def _close(self, *, turned: bool) -> None:
        plane, structure, session = self._plane, self.editor.structure(), self.editor.session
        if plane is None or structure is None or session is None:
            return
        if len(self._corners) < 3:
            self.editor.say(tr("A polygon needs at least three corners."))
            return
        points = np.zeros((len(self._corners), 3))
        points[:, [plane.vertical_axis, plane.horizontal_axis]] = self._corners
        grid, slice_ = session.structures.grid, self._slice
        patch = polygon(grid, points, plane.slice_axis, slice_)
        self.cancel()
        if self._effect == "replace" and not turned:
            self.editor.commit(structure.id, _whole_slice(grid, patch, plane.slice_axis, slice_), "contour")
        else:
            patch = stamp(structure.mask, patch, erase=turned != (self._effect == "remove"))
            self.editor.commit(structure.id, patch, "polygon")

    def draw(self, sketch: Sketch) -> None:
        """Corners, the line through them and on to the mouse, and the edge that would close it."""
        if self._plane is None or self._plane.name != sketch.plane.name or self._slice != sketch.slice:
            return
        painter = sketch.painter
        corners = [sketch.point(flat) for flat in self._corners]
        line = corners + ([sketch.cursor] if sketch.cursor is not None and self._from is None else [])
        painter.setPen(QPen(sketch.colour, 1.6))
        painter.drawPolyline(line)
        if len(line) > 2:
            painter.setPen(QPen(sketch.colour, 1, Qt.PenStyle.DashLine))
            painter.drawLine(line[-1], line[0])
        if self._freehand and self._begun_empty:
            return
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(sketch.colour)
        for corner in corners:
            painter.drawEllipse(corner, 3.0, 3.0)
        painter.setBrush(Qt.BrushStyle.NoBrush)


def _whole_slice(grid: Grid, patch: Patch, axis: int, slice_: int) -> Patch:
    """A patch of the whole slice that holds another patch and nothing else."""
    start, stop = [0, 0, 0], list(grid.shape)
    start[axis], stop[axis] = slice_, slice_ + 1
    box = (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))
    return (start[0], start[1], start[2]), Mask(*patch).read(box)
