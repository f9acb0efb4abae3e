"""A picture of one slice, shown while the others are being read. Nothing can be drawn on it."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from contourdesk.app.jobs import Look
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import named

_INK = QColor("#c9d1db")
_GROUND = QColor("#000000")


class LookView(QWidget):
    """Shows a `Look` as large as there is room, in its true proportions; `painted` comes when it is on the screen."""

    painted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, "first_look", tr("First slice"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._image: QImage | None = None
        self._ratio = 1.0  # height to width
        self._text = ""
        self.hide()

    def show_look(self, look: Look | None) -> None:
        """Show a slice; None hides the widget."""
        self._image = None
        if look is not None:
            pixels = np.ascontiguousarray(look.pixels)
            rows, columns = pixels.shape
            image = QImage(pixels.data, columns, rows, columns, QImage.Format.Format_Grayscale8)
            self._image = image.copy()  # Qt doesn't keep the array alive
            self._ratio = rows * look.spacing_mm[0] / (columns * look.spacing_mm[1])
            self._text = look.text
            self.setAccessibleDescription(look.text)
        self.setVisible(look is not None)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw it."""
        if self._image is None:
            return
        painter = QPainter(self)
        painter.fillRect(self.rect(), _GROUND)
        room = self.fontMetrics().height() * 1.6
        width, height = float(self.width()), max(self.height() - room, 1.0)
        shown = min(width, height / self._ratio)
        place = QRectF((width - shown) / 2, (height - shown * self._ratio) / 2, shown, shown * self._ratio)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(place, self._image)
        painter.setPen(_INK)
        painter.drawText(QRectF(0, height, width, room), Qt.AlignmentFlag.AlignCenter, self._text)
        painter.end()
        self.painted.emit()
