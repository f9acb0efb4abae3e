"""A picture from a file, as large as there is room for it."""

from __future__ import annotations

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget

from contourdesk.widgets.theme import em, ink, named


class SamplePicture(QWidget):
    """Shows the picture of a path; `nothing` stands there while there is none."""

    def __init__(self, name: str, title: str, nothing: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, name, title)
        self._nothing, self._path, self.picture = nothing, "", QPixmap()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """About square."""
        return QSize(em(self, 11), em(self, 11))

    def minimumSizeHint(self) -> QSize:
        """Enough to see something."""
        return QSize(em(self, 8), em(self, 8))

    def show_path(self, path: str) -> None:
        """Show another picture; one that can't be read leaves the one before."""
        if path == self._path:
            return
        found = QPixmap(path) if path else QPixmap()
        if not path or not found.isNull():
            self._path, self.picture = path, found
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw it in the middle."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), ink("list"))
        if self.picture.isNull():
            painter.setPen(ink("text-muted"))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._nothing)
            return
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        size = QSize(self.picture.size()).scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        left, top = (self.width() - size.width()) / 2, (self.height() - size.height()) / 2
        painter.drawPixmap(QRectF(left, top, size.width(), size.height()), self.picture, QRectF(self.picture.rect()))
