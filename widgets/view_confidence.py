"""How sure the model was, in colour over one plane's image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtCore import QPointF, QRectF
from qtpy.QtGui import QColor, QImage, QLinearGradient, QPainter, QTransform

from contourdesk.app.confidence import UNCERTAINTY, Confidence
from contourdesk.app.geometry import ViewPlane
from contourdesk.widgets.language import tr

# Viridis: it rises evenly in brightness, also for colour-blind eyes and in print, and none of it is a grey of CT.
_VIRIDIS = (
    (68, 1, 84), (72, 40, 120), (62, 73, 137), (49, 104, 142), (38, 130, 142),
    (31, 158, 137), (53, 183, 121), (110, 206, 88), (181, 222, 43), (253, 231, 37),
)  # fmt: skip
_OPACITY = 0.72
_FAINT, _FULL = 0.08, 0.35  # uncertainty below which nothing is drawn, and from which on all of the opacity is used


def colour_of(uncertainty: float) -> QColor:
    """Colour of an uncertainty of 0 (sure) to 1 (50 %), as it is drawn."""
    stops = np.linspace(0, 1, len(_VIRIDIS))
    red, green, blue = (round(float(np.interp(uncertainty, stops, part))) for part in zip(*_VIRIDIS, strict=True))
    alpha = np.interp(uncertainty, (_FAINT, _FULL), (0, _OPACITY))
    return QColor(red, green, blue, round(255 * float(alpha)))


class ConfidenceImage:
    """Draws the uncertainty of one structure on one plane; keeps the picture of the last slice."""

    def __init__(self) -> None:
        self._table = [colour_of(float(value)).rgba() for value in UNCERTAINTY]
        self._kept: tuple[Confidence, str, int, QImage | None, QRectF] | None = None

    def draw(
        self, painter: QPainter, to_screen: QTransform, plane: ViewPlane, index: int, confidence: Confidence
    ) -> None:
        """Draw slice `index` of `plane`; `to_screen` maps in-plane indices to the painter's pixels."""
        kept = self._kept
        if kept is None or kept[0] is not confidence or kept[1] != plane.name or kept[2] != index:
            kept = self._kept = (confidence, plane.name, index, *self._picture(plane, index, confidence))
        if kept[3] is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setTransform(to_screen, True)
        painter.drawImage(kept[4], kept[3])
        painter.restore()

    def _picture(self, plane: ViewPlane, index: int, confidence: Confidence) -> tuple[QImage | None, QRectF]:
        at = index - confidence.offset[plane.slice_axis]
        if confidence.values.size == 0 or not 0 <= at < confidence.values.shape[plane.slice_axis]:
            return None, QRectF()
        flat = np.take(confidence.values, at, axis=plane.slice_axis)
        if plane.vertical_axis > plane.horizontal_axis:
            flat = flat.T
        flat = np.ascontiguousarray(flat)
        height, width = flat.shape
        image = QImage(flat.data, width, height, width, QImage.Format.Format_Indexed8)
        image.setColorTable(self._table)
        start = QPointF(confidence.offset[plane.horizontal_axis] - 0.5, confidence.offset[plane.vertical_axis] - 0.5)
        # The copy does not need the array any more.
        return image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied), QRectF(
            start.x(), start.y(), width, height
        )

    def clear(self) -> None:
        """Forget the picture, for another case."""
        self._kept = None


def draw_legend(painter: QPainter, area: QRectF, write: Callable[[QRectF, str], None], *, known: bool) -> None:
    """A small scale at the top left of `area`; without `known`, that there are no probabilities to show.

    `write` draws a text at the left of a rectangle, in the painter's font.
    """
    line = painter.fontMetrics().height()
    row = QRectF(area.left(), area.top(), area.width(), line)
    if not known:
        write(row, tr("No probabilities of a model for this structure"))
        return
    gap = line * 0.4
    left = painter.fontMetrics().horizontalAdvance("Model sure") + gap
    bar = QRectF(row.left() + left, row.top() + line * 0.2, line * 4, line * 0.6)
    write(row, tr("Model sure"))
    write(row.adjusted(left + bar.width() + gap, 0, 0, 0), tr("unsure"))
    scale = QLinearGradient(bar.topLeft(), bar.topRight())
    for step in range(11):
        colour = colour_of(step / 10)
        colour.setAlpha(255)
        scale.setColorAt(step / 10, colour)
    painter.fillRect(bar, scale)
