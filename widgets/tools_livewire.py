"""The livewire: clicks along an edge, the outline between them follows it by itself."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QKeyEvent, QPen, QPolygonF

from contourdesk.app.footprints import polygon, stamp
from contourdesk.app.geometry import ViewPlane
from contourdesk.app.livewire import Livewire as Wire
from contourdesk.widgets.language import tr
from contourdesk.widgets.tool import Sketch, Spot, Tool

_CLOSE_PX = 9.0  # a click this near to the first point closes the outline
_SHADOW = QColor(0, 0, 0, 160)


class Livewire(Tool):
    """Adds the inside of an outline that clings to edges."""

    id = "livewire"
    text = "Livewire"
    icon = "tool-livewire"
    shortcut = "L"
    tip = "Outline that follows the edges"
    hint = (
        "Click along an edge; the line follows it. Double click or Enter closes it and adds the inside, with Shift "
        "takes it away. Backspace takes back a point, Esc gives up."
    )
    _plane: ViewPlane | None = None
    _slice = 0
    _wire: Wire | None = None
    _ahead: np.ndarray | None = None  # from the last point to the mouse

    @property
    def busy(self) -> bool:
        """Whether an outline is being drawn."""
        return self._plane is not None

    def press(self, at: Spot) -> None:
        """Add a point, or close the outline on its first one."""
        session = self.editor.session
        if self.editor.structure() is None or session is None:
            return
        if self._wire is None or self._plane is None or (self._plane.name, self._slice) != (at.plane.name, at.slice):
            self._begin(at)
        assert self._wire is not None
        if len(self._wire.anchors) > 2 and at.distance_px(self._wire.anchors[0]) <= _CLOSE_PX:
            self._close(erase=at.takes_away)
            return
        self._wire.add(at.flat)
        self._ahead = None
        self.editor.redraw()

    def _begin(self, at: Spot) -> None:
        session = self.editor.session
        assert session is not None
        volume, plane = session.case.volume, at.plane
        where = tuple(at.slice if axis == plane.slice_axis else slice(None) for axis in range(3))
        values = volume.array[where]
        if plane.vertical_axis > plane.horizontal_axis:
            values = values.T
        spacing = volume.grid.spacing_mm
        self._wire = Wire(
            values, (spacing[plane.vertical_axis], spacing[plane.horizontal_axis]), self.editor.state.window
        )
        self._plane, self._slice = plane, at.slice

    def hover(self, at: Spot) -> None:
        """Show the way from the last point to the mouse."""
        if self._wire is None or self._plane is None or self._plane.name != at.plane.name or self._slice != at.slice:
            return
        self._ahead = self._wire.way_to(at.flat)
        self.editor.redraw()

    move = hover

    def double_click(self, at: Spot) -> None:
        """Close the outline."""
        self._close(erase=at.takes_away)

    def key(self, event: QKeyEvent) -> bool:
        """Close with Enter, take back the last point with Backspace."""
        if self._wire is None:
            return False
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._close(erase=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        elif event.key() == Qt.Key.Key_Backspace:
            self._wire.take_back()
            self._ahead = None
            if not self._wire.anchors:
                self.cancel()
            self.editor.redraw()
        else:
            return False
        return True

    def cancel(self) -> None:
        """Forget the outline."""
        self._plane = self._wire = self._ahead = None
        self.editor.redraw()

    def _close(self, *, erase: bool) -> None:
        plane, wire, structure, session = self._plane, self._wire, self.editor.structure(), self.editor.session
        if plane is None or wire is None or structure is None or session is None:
            return
        if len(wire.anchors) < 2:
            self.editor.say(tr("An outline needs at least two points."))
            return
        flat = wire.closed()
        points = np.zeros((len(flat), 3))
        points[:, [plane.vertical_axis, plane.horizontal_axis]] = flat
        patch = polygon(session.structures.grid, points, plane.slice_axis, self._slice)
        self.cancel()
        self.editor.commit(structure.id, stamp(structure.mask, patch, erase=erase), "livewire")

    def draw(self, sketch: Sketch) -> None:
        """The way so far, the way on to the mouse, and the points."""
        wire = self._wire
        if wire is None or self._plane is None or self._plane.name != sketch.plane.name or self._slice != sketch.slice:
            return
        painter = sketch.painter
        for way, style in ((wire.outline, Qt.PenStyle.SolidLine), (self._ahead, Qt.PenStyle.DashLine)):
            if way is not None and len(way) > 1:
                line = QPolygonF([sketch.point((float(v), float(h))) for v, h in way])
                painter.setPen(QPen(_SHADOW, 3.2))
                painter.drawPolyline(line)
                painter.setPen(QPen(sketch.colour, 1.6, style))
                painter.drawPolyline(line)
        painter.setPen(QPen(_SHADOW, 1))
        painter.setBrush(sketch.colour)
        for anchor in wire.anchors:
            painter.drawEllipse(sketch.point(anchor), 3.2, 3.2)
        painter.setBrush(Qt.BrushStyle.NoBrush)
