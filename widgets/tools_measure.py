"""Measuring tools: ruler, angle, probe, ellipse. They change nothing; results go to the list of measurements."""

from __future__ import annotations

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QKeyEvent

from contourdesk.app import measuring
from contourdesk.app.geometry import ViewPlane
from contourdesk.app.measuring import Measurement, Position
from contourdesk.widgets.language import tr
from contourdesk.widgets.measurements import draw_points, near
from contourdesk.widgets.tool import Sketch, Spot, Tool

_MOVED_PX = 4.0
_REMOVE = " Right click on one removes it."


class _Measure(Tool):
    """Takes a number of places by clicks, or two by a drag."""

    edits = False
    count = 2
    kind = ""

    def __init__(self, editor: object) -> None:
        super().__init__(editor)  # type: ignore[arg-type]
        self._plane: ViewPlane | None = None
        self._slice = 0
        self._points: list[Position] = []
        self._floating: Position | None = None  # the next place, under the mouse

    @property
    def busy(self) -> bool:
        """Whether places are still missing."""
        return self._plane is not None

    def press(self, at: Spot) -> None:
        """Take a place."""
        if self._plane is None or self._plane.name != at.plane.name or self._slice != at.slice:
            self._plane, self._slice, self._points = at.plane, at.slice, []
        self._take(at)

    def move(self, at: Spot) -> None:
        """The next place is under the mouse."""
        if self._plane is not None and self._plane.name == at.plane.name:
            self._floating = _in_slice(at, self._slice)
            self.editor.redraw()

    hover = move

    def release(self, at: Spot) -> None:
        """After a drag the end is a place, too."""
        if self._plane is not None and self._plane.name == at.plane.name and self._points:
            first = self._points[-1]
            start = (first[at.plane.vertical_axis], first[at.plane.horizontal_axis])
            if at.distance_px(start) >= _MOVED_PX:
                self._take(at)

    def double_click(self, at: Spot) -> None:
        """The second click of a double one is no place of its own."""

    def right_click(self, at: Spot) -> bool:
        """Remove a measurement."""
        for made in reversed(self.editor.state.marks.measurements.items):
            if near(made, at.plane, at.slice, at.flat, at.pixels):
                self.editor.state.marks.measurements.remove(made)
                return True
        return False

    def key(self, event: QKeyEvent) -> bool:
        """Backspace takes back the last place."""
        if self._plane is None or event.key() != Qt.Key.Key_Backspace:
            return False
        self._points.pop()
        if not self._points:
            self._plane = None
        self.editor.redraw()
        return True

    def cancel(self) -> None:
        """Forget the places."""
        self._plane, self._points, self._floating = None, [], None
        self.editor.redraw()

    def _take(self, at: Spot) -> None:
        self._points.append(_in_slice(at, self._slice))
        if len(self._points) == self.count and self._plane is not None:
            plane, points = self._plane, self._points
            self.cancel()
            made = self.measure(plane, points)
            if made is None:
                self.editor.say(tr("There is no voxel of the image in it."))
            self.editor.state.marks.measurements.add(made)
        self.editor.redraw()

    def measure(self, plane: ViewPlane, points: list[Position]) -> Measurement | None:
        """Make the measurement of these places; None when it can't be."""
        raise NotImplementedError

    def draw(self, sketch: Sketch) -> None:
        """The places so far, on to the mouse, and the result as it would be."""
        plane = self._plane
        if plane is None or plane.name != sketch.plane.name or self._slice != sketch.slice:
            return
        places = [*self._points, *([self._floating] if self._floating is not None else [])]
        made = self.measure(plane, places) if len(places) == self.count and self.kind != "ellipse" else None
        on_screen: list[QPointF] = [sketch.point((p[plane.vertical_axis], p[plane.horizontal_axis])) for p in places]
        draw_points(sketch.painter, self.kind, on_screen, "" if made is None else made.text)


class Ruler(_Measure):
    """Distance between two places."""

    id = "ruler"
    text = "Ruler"
    icon = "tool-ruler"
    shortcut = "Ctrl+1"
    tip = "Measure a length"
    hint = "Drag, or click twice, to measure a length in mm." + _REMOVE
    kind = "ruler"

    def measure(self, plane: ViewPlane, points: list[Position]) -> Measurement | None:
        """The length."""
        session = self.editor.session
        return None if session is None else measuring.ruler(session.structures.grid, plane, points)


class Angle(_Measure):
    """Angle at the second of three places."""

    id = "angle"
    text = "Angle"
    icon = "tool-angle"
    shortcut = "Ctrl+2"
    tip = "Measure an angle"
    hint = "Click three times: one end, the corner, the other end." + _REMOVE
    kind = "angle"
    count = 3

    def measure(self, plane: ViewPlane, points: list[Position]) -> Measurement | None:
        """The angle."""
        session = self.editor.session
        return None if session is None else measuring.angle(session.structures.grid, plane, points)


class Probe(_Measure):
    """Value of a voxel."""

    id = "probe"
    text = "Probe"
    icon = "tool-probe"
    shortcut = "Ctrl+3"
    tip = "Mark the value of a voxel"
    hint = "Click to mark a place with its value." + _REMOVE
    kind = "probe"
    count = 1

    def measure(self, plane: ViewPlane, points: list[Position]) -> Measurement | None:
        """The value."""
        session = self.editor.session
        return None if session is None else measuring.probe(session.case.volume, plane, points[0])

    def release(self, at: Spot) -> None:
        """A drag is a click."""


class Ellipse(_Measure):
    """Statistics of an ellipse."""

    id = "ellipse"
    text = "Ellipse"
    icon = "tool-ellipse"
    shortcut = "Ctrl+4"
    tip = "Mean, deviation, minimum, maximum and area of an ellipse"
    hint = "Drag a box: the ellipse in it is measured (mean, sd, min, max, area)." + _REMOVE
    kind = "ellipse"

    def measure(self, plane: ViewPlane, points: list[Position]) -> Measurement | None:
        """The statistics."""
        session = self.editor.session
        return None if session is None else measuring.ellipse(session.case.volume, plane, points)


MEASURING: tuple[type[Tool], ...] = (Ruler, Angle, Probe, Ellipse)


def _in_slice(at: Spot, index: int) -> Position:
    place = list(at.index)
    place[at.plane.slice_axis] = float(index)
    return place[0], place[1], place[2]
