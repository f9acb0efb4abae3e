"""What is drawn over the surfaces: the crosshair's place, and letters that say where the patient's sides are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QFont, QFontInfo, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

from contourdesk.widgets.language import tr
from contourdesk.widgets.view_overlay import CROSS, LETTER, SHADOW, TEXT, shadowed
from contourdesk.widgets.view_state import ViewState

Float = NDArray[np.float64]

_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))  # low and high end of each LPS axis
_AXIS_EM = 2.6
_ARM_PX = 11


class Overlay3D(QWidget):
    """Transparent, lets the mouse through.

    `project` gives the screen position of LPS mm, `axes` the LPS unit vectors to the right, up, and away from the eye.
    """

    def __init__(
        self,
        native: QWidget,
        state: ViewState,
        project: Callable[[Float], QPointF],
        axes: Callable[[], tuple[Float, Float, Float]],
    ) -> None:
        super().__init__(native)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self._state, self._project, self._axes = state, project, axes

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw everything."""
        session = self._state.session
        if session is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_cross(painter, self._project(session.structures.grid.to_world(self._state.cross)))
        self._draw_axes(painter)
        area = QRectF(self.rect()).adjusted(8, 8, -8, -8)
        size = QFontInfo(self.font()).pixelSize()
        font = QFont(self.font())
        font.setPixelSize(round(size * 1.15))
        font.setBold(True)
        painter.setFont(font)
        shadowed(painter, area, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, "3D", TEXT)
        if not len(session.structures):
            font.setBold(False)
            painter.setFont(font)
            shadowed(painter, area, Qt.AlignmentFlag.AlignCenter, tr("No structures yet"), TEXT)
        painter.end()

    def _draw_cross(self, painter: QPainter, at: QPointF) -> None:
        for pen in (QPen(SHADOW, 3.4), QPen(CROSS, 1.6)):
            painter.setPen(pen)
            painter.drawEllipse(at, 4.5, 4.5)
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                step = QPointF(dx, dy)
                painter.drawLine(at + step * 6.5, at + step * (6.5 + _ARM_PX))

    def _draw_axes(self, painter: QPainter) -> None:
        """Six letters round a small cross, those that point to the eye in front and bright."""
        size = QFontInfo(self.font()).pixelSize()
        arm = size * _AXIS_EM
        middle = QPointF(arm + size * 1.2, self.height() - arm - size * 1.2)
        right, up, away = self._axes()
        ends = []
        for axis in range(3):
            for sense in (-1, 1):
                way = np.zeros(3)
                way[axis] = sense
                ends.append((float(way @ away), float(way @ right), float(way @ up), _LETTERS[axis][(sense + 1) // 2]))
        font = QFont(self.font())
        font.setPixelSize(size)
        font.setBold(True)
        painter.setFont(font)
        for depth, x, y, letter in sorted(ends, reverse=True):
            colour = QColor(LETTER)
            colour.setAlphaF(0.95 if depth < 0.25 else 0.4)
            tip = middle + QPointF(x, -y) * arm
            painter.setPen(QPen(colour, 1.2))
            painter.drawLine(middle, middle + QPointF(x, -y) * (arm - size * 0.75))
            where = QRectF(tip.x() - size, tip.y() - size, 2 * size, 2 * size)
            shadowed(painter, where, Qt.AlignmentFlag.AlignCenter, letter, colour)
