"""Measurements of the open case: made by tools, drawn over the planes, listed under them, gone when it is closed."""

from __future__ import annotations

from itertools import pairwise

from qtpy.QtCore import QObject, QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QFontMetricsF, QPainter, QPen, QTransform

from contourdesk.app.geometry import ViewPlane
from contourdesk.app.measuring import Measurement, Position

INK = QColor(120, 240, 180)
_SHADOW = QColor(0, 0, 0, 200)
_GROUND = QColor(0, 0, 0, 150)
_NEAR_PX = 7.0


class Measurements(QObject):
    """A list that says when it changed."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.items: list[Measurement] = []

    def add(self, made: Measurement | None) -> None:
        """Add one; None is nothing."""
        if made is not None:
            self.items.append(made)
            self.changed.emit()

    def remove(self, made: Measurement) -> None:
        """Take one away."""
        self.items = [one for one in self.items if one is not made]
        self.changed.emit()

    def clear(self) -> None:
        """Take all away."""
        if self.items:
            self.items = []
            self.changed.emit()


def flat_of(plane: ViewPlane, point: Position) -> QPointF:
    """In-plane position of a voxel index: x across, y down."""
    return QPointF(point[plane.horizontal_axis], point[plane.vertical_axis])


def draw_measurements(
    painter: QPainter, to_screen: QTransform, plane: ViewPlane, index: int, made: list[Measurement]
) -> None:
    """Draw those that lie in the slice."""
    for one in made:
        if one.plane == plane.name and one.slice == index:
            points = [to_screen.map(flat_of(plane, p)) for p in one.points]
            draw_points(painter, one.kind, points, one.text)


def draw_points(painter: QPainter, kind: str, points: list[QPointF], text: str) -> None:
    """Draw one measurement, at screen positions; an angle or ruler may still lack points."""
    for pen in (QPen(_SHADOW, 3.6), QPen(INK, 1.6)):
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if kind == "ellipse" and len(points) == 2:
            painter.drawEllipse(QRectF(points[0], points[1]).normalized())
        else:
            painter.drawPolyline(points)
            for point in points:
                for dx, dy in ((5.0, 0.0), (0.0, 5.0)):
                    painter.drawLine(point - QPointF(dx, dy), point + QPointF(dx, dy))
    if text:
        _label(painter, points, text)


def _label(painter: QPainter, points: list[QPointF], text: str) -> None:
    """Text on a dark ground, right below the lowest point, inside the view."""
    size = QFontMetricsF(painter.font()).boundingRect(text).size()
    lowest = max(points, key=lambda p: p.y())
    box = QRectF(lowest.x() + 8, lowest.y() + 6, size.width() + 10, size.height() + 4)
    room = QRectF(painter.viewport())
    box.moveLeft(max(room.left(), min(box.left(), room.right() - box.width())))
    box.moveTop(max(room.top(), min(box.top(), room.bottom() - box.height())))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(_GROUND)
    painter.drawRoundedRect(box, 3, 3)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(INK)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def near(
    made: Measurement, plane: ViewPlane, index: int, flat: tuple[float, float], pixels: tuple[float, float]
) -> bool:
    """Whether an in-plane index (vertical, horizontal) lies at one of the measurement's points, or on its lines."""
    if made.plane != plane.name or made.slice != index:
        return False
    at = QPointF(flat[1] * pixels[1], flat[0] * pixels[0])
    points = [QPointF(p[plane.horizontal_axis] * pixels[1], p[plane.vertical_axis] * pixels[0]) for p in made.points]
    if made.kind == "ellipse":
        return QRectF(points[0], points[1]).normalized().contains(at)
    ends = list(pairwise(points)) or [(points[0], points[0])]
    return any(_distance(at, a, b) <= _NEAR_PX for a, b in ends)


def _distance(at: QPointF, a: QPointF, b: QPointF) -> float:
    along, to = b - a, at - a
    length = QPointF.dotProduct(along, along)
    part = 0.0 if length == 0 else min(max(QPointF.dotProduct(to, along) / length, 0.0), 1.0)
    away = to - along * part
    return float(QPointF.dotProduct(away, away) ** 0.5)
