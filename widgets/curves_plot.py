"""A small plot of curves over steps, drawn with Qt alone: axes with round numbers, a legend with the last values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from contourdesk.widgets.theme import em, ink, named

_MOST_POINTS = 1500  # of one curve that are drawn; more than there are pixels nobody sees
_MOST_NAMES = 12


@dataclass(frozen=True)
class Curve:
    """One curve: its name for the legend ("" for none), points in order of x, colour, width in pixels."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    colour: QColor
    width: float = 1.5
    dots: bool = False


class CurvesPlot(QWidget):
    """Shows curves; the mouse reads them off.

    Parameters
    ----------
    name, title : object name and heading;  unit : of x, for the read-out.
    low, high : the range of y as far as it is fixed; else it follows the curves.
    nothing : what stands there as long as there is no curve.
    """

    def __init__(
        self,
        name: str,
        title: str,
        unit: str,
        nothing: str,
        low: float | None = None,
        high: float | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        named(self, name, title)
        self._title, self._unit, self._nothing, self._low, self._high = title, unit, nothing, low, high
        self.curves: Sequence[Curve] = ()
        self._mouse: QPointF | None = None
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """Room for axes and some lines of legend."""
        return QSize(em(self, 24), em(self, 11))

    def minimumSizeHint(self) -> QSize:
        """Enough to see something."""
        return QSize(em(self, 14), em(self, 7))

    def set_curves(self, curves: Sequence[Curve]) -> None:
        """Show these; values that are not finite are left out."""
        self.curves = [_clean(c) for c in curves]
        told = ", ".join(f"{c.name} {c.ys[-1]:.3f}" for c in self.curves if c.name and len(c.ys))
        self.setAccessibleDescription(told)
        self.update()

    # -- drawing --------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw title, axes, curves, legend and read-out."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), ink("list"))
        line, shown = em(self), [c for c in self.curves if len(c.xs)]
        painter.setPen(ink("text-soft"))
        painter.drawText(QRectF(line * 0.6, line * 0.25, self.width(), line * 1.2), self._title)
        if not shown:
            painter.setPen(ink("text-muted"))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._nothing)
            return
        legend = self._legend_width(shown)
        area = QRectF(line * 3.0, line * 1.7, self.width() - line * 3.8 - legend, self.height() - line * 3.2)
        if area.width() < line * 4 or area.height() < line * 2:
            return
        x_range, y_range = self._ranges(shown)
        self._draw_axes(painter, area, x_range, y_range)
        place = _Place(area, x_range, y_range)
        painter.save()
        painter.setClipRect(area.adjusted(-3, -3, 3, 3))
        for curve in shown:
            _draw_curve(painter, curve, place)
        painter.restore()
        names = [c for c in shown if c.name]
        at = self._at(place)
        self._draw_legend(painter, QRectF(area.right() + line * 0.6, area.top(), legend, area.height()), names, at)
        if at is not None:
            self._draw_reading(painter, place, at)

    def _legend_width(self, shown: Sequence[Curve]) -> float:
        names = [c.name for c in shown if c.name]
        widest = max((self.fontMetrics().horizontalAdvance(f"{n} 0.000") for n in names), default=0)
        return min(widest + em(self, 1.6), self.width() * 0.4) if names else 0.0

    def _ranges(self, shown: Sequence[Curve]) -> tuple[tuple[float, float], tuple[float, float]]:
        xs = [x for c in shown for x in (c.xs[0], c.xs[-1])]
        ys = [y for c in shown for y in (min(c.ys), max(c.ys))]
        low = self._low if self._low is not None else min(ys)
        high = self._high if self._high is not None else max(ys)
        room = (high - low) * 0.05 or 0.05
        if self._low is None:
            low -= room
        if self._high is None:
            high += room
        return (min(*xs, 0), max(*xs, 1)), (low, high)

    def _draw_axes(
        self, painter: QPainter, area: QRectF, x_range: tuple[float, float], y_range: tuple[float, float]
    ) -> None:
        line = em(self)
        place = _Place(area, x_range, y_range)
        for y in ticks(*y_range, max(2, int(area.height() / (line * 1.8)))):
            at = place.at(x_range[0], y)
            painter.setPen(QPen(ink("line"), 1))
            painter.drawLine(at, QPointF(area.right(), at.y()))
            painter.setPen(ink("text-muted"))
            box = QRectF(0, at.y() - line / 2, area.left() - line * 0.4, line)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{y:g}")
        for x in (x for x in ticks(*x_range, max(2, int(area.width() / (line * 4.5)))) if x == round(x)):
            at = place.at(x, y_range[0])
            painter.setPen(QPen(ink("line"), 1))
            painter.drawLine(QPointF(at.x(), area.top()), QPointF(at.x(), area.bottom()))
            painter.setPen(ink("text-muted"))
            box = QRectF(at.x() - line * 3, area.bottom() + line * 0.2, line * 6, line)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, f"{x:g}")
        painter.setPen(QPen(ink("line-strong"), 1))
        painter.drawRect(area)

    def _draw_legend(self, painter: QPainter, box: QRectF, names: Sequence[Curve], x: float | None) -> None:
        line = self.fontMetrics().height() * 1.1
        rows = max(1, min(_MOST_NAMES, int(box.height() / line)))
        if len(names) > rows:
            rows -= 1
        for number, curve in enumerate(names[:rows]):
            top = box.top() + number * line
            painter.setPen(QPen(curve.colour, max(curve.width, 2)))
            painter.drawLine(QPointF(box.left(), top + line / 2), QPointF(box.left() + em(self, 0.8), top + line / 2))
            painter.setPen(ink("text"))
            room = QRectF(box.left() + em(self, 1.1), top, box.width() - em(self, 1.3), line)
            value = curve.ys[-1] if x is None else _value(curve, x)
            number_text = f" {value:.3f}"
            width = self.fontMetrics().horizontalAdvance(number_text)
            short = self.fontMetrics().elidedText(curve.name, Qt.TextElideMode.ElideRight, int(room.width() - width))
            painter.drawText(room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, short)
            painter.drawText(room, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, number_text)
        if len(names) > rows:
            painter.setPen(ink("text-muted"))
            room = QRectF(box.left() + em(self, 1.1), box.top() + rows * line, box.width(), line)
            painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, f"+ {len(names) - rows}")

    def _at(self, place: _Place) -> float | None:
        """The x under the mouse."""
        if self._mouse is None or not place.area.contains(self._mouse):
            return None
        low, high = place.x_range
        return low + (self._mouse.x() - place.area.left()) / place.area.width() * (high - low)

    def _draw_reading(self, painter: QPainter, place: _Place, x: float) -> None:
        top = place.at(x, place.y_range[1])
        painter.setPen(QPen(ink("text-soft"), 1, Qt.PenStyle.DashLine))
        painter.drawLine(top, QPointF(top.x(), place.area.bottom()))
        painter.setPen(ink("text-soft"))
        box = QRectF(0, em(self, 0.25), place.area.right(), em(self, 1.2))
        painter.drawText(box, Qt.AlignmentFlag.AlignRight, f"{self._unit} {round(x)}")

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Read off at the mouse."""
        self._mouse = event.position()
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Show the last values again."""
        self._mouse = None
        self.update()


@dataclass(frozen=True)
class _Place:
    """Where values lie on the widget."""

    area: QRectF
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def at(self, x: float, y: float) -> QPointF:
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        return QPointF(
            self.area.left() + (x - x0) / (x1 - x0 or 1) * self.area.width(),
            self.area.bottom() - (y - y0) / (y1 - y0 or 1) * self.area.height(),
        )


def _draw_curve(painter: QPainter, curve: Curve, place: _Place) -> None:
    step = max(1, len(curve.xs) // _MOST_POINTS)
    points = [place.at(x, y) for x, y in zip(curve.xs[::step], curve.ys[::step], strict=True)]
    painter.setPen(QPen(curve.colour, curve.width))
    painter.drawPolyline(QPolygonF(points))
    if curve.dots or len(points) == 1:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(curve.colour)
        for point in points:
            painter.drawEllipse(point, 1.5 + curve.width / 2, 1.5 + curve.width / 2)
        painter.setBrush(Qt.BrushStyle.NoBrush)


def _clean(curve: Curve) -> Curve:
    pairs = [(x, y) for x, y in zip(curve.xs, curve.ys, strict=True) if math.isfinite(y)]
    return Curve(curve.name, [x for x, _ in pairs], [y for _, y in pairs], curve.colour, curve.width, curve.dots)


def _value(curve: Curve, x: float) -> float:
    """The value at the last point up to x."""
    before = [y for at, y in zip(curve.xs, curve.ys, strict=True) if at <= x]
    return before[-1] if before else curve.ys[0]


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers from `low` to `high`."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, most)
    size = 10 ** math.floor(math.log10(rough))
    step = next((k * size for k in (1, 2, 5, 10) if k * size >= rough), 10 * size)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def smoothed(values: Sequence[float], weight: float = 0.95) -> list[float]:
    """The moving average of a noisy curve, without the bias of its first value (`weight` for what was before)."""
    out, total, norm = [], 0.0, 0.0
    for value in values:
        total, norm = weight * total + value, weight * norm + 1
        out.append(total / norm)
    return out
