"""Pages of a PDF: text, rules and tables that flow from page to page, in tenths of a millimetre. No window needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import QMarginsF, QRectF, Qt
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QPageLayout, QPageSize, QPainter, QPdfWriter, QPen

INK, SOFT, RULE, SHADE = QColor("#1a1d21"), QColor("#5b6570"), QColor("#c3cad2"), QColor("#f1f4f7")
ACCENT, GOOD, BAD, CARE = QColor("#1f5f8f"), QColor("#1f7a4a"), QColor("#a33030"), QColor("#8a5a00")
WIDTH, HEIGHT = 2100.0, 2970.0  # A4
LEFT, TOP, BOTTOM = 160.0, 150.0, 210.0
INNER = WIDTH - 2 * LEFT
_WRAP, _ANYWHERE = int(Qt.TextFlag.TextWordWrap), int(Qt.TextFlag.TextWrapAnywhere)
Paint = Callable[[QPainter], None]


class Pages:
    """What will be painted, page by page; `y` is where the next thing goes."""

    def __init__(self, path: Path, title: str) -> None:
        self.writer = QPdfWriter(str(path))
        self.writer.setResolution(254)  # a dot is a tenth of a millimetre
        self.writer.setPageLayout(
            QPageLayout(QPageSize(QPageSize.PageSizeId.A4), QPageLayout.Orientation.Portrait, QMarginsF(0, 0, 0, 0))
        )
        self.writer.setTitle(title)
        self._pages: list[list[Paint]] = [[]]
        self.y = TOP

    def font(self, points: float, *, bold: bool = False) -> QFont:
        """A font of this size on paper."""
        font = QFont()
        font.setPointSizeF(points)
        font.setBold(bold)
        font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
        return font

    def height(self, text: str, width: float, font: QFont) -> float:
        """Height of a text that is wrapped to this width."""
        flags = self._flags(text, width, font)
        return QFontMetricsF(font, self.writer).boundingRect(QRectF(0, 0, width, 1e6), flags, text or " ").height()

    def _flags(self, text: str, width: float, font: QFont) -> int:
        """Lines break between words, and within one only where it is wider than the line."""
        metrics = QFontMetricsF(font, self.writer)
        return _ANYWHERE if any(metrics.horizontalAdvance(word) > width for word in text.split()) else _WRAP

    def room(self, height: float) -> bool:
        """Whether this much fits on the page."""
        return self.y + height <= HEIGHT - BOTTOM

    def need(self, height: float) -> bool:
        """Go on to the next page unless this much fits; whether it did."""
        if self.room(height) or self.y == TOP:
            return False
        self.new_page()
        return True

    def new_page(self) -> None:
        """Go on to the next page."""
        self._pages.append([])
        self.y = TOP

    def paint(self, what: Paint) -> None:
        """Paint this on the present page."""
        self._pages[-1].append(what)

    def put(
        self,
        text: str,
        x: float,
        y: float,
        width: float,
        font: QFont,
        colour: QColor = INK,
        align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
    ) -> float:
        """Place a wrapped text; its height."""
        height, flags = self.height(text, width, font), self._flags(text, width, font) | int(align)

        def draw(painter: QPainter) -> None:
            painter.setFont(font)
            painter.setPen(colour)
            painter.drawText(QRectF(x, y, width, height + 4), flags, text)

        self.paint(draw)
        return height

    def flow(self, text: str, font: QFont, colour: QColor = INK, *, gap: float = 14, x: float = LEFT) -> None:
        """A paragraph below what stands there."""
        width = WIDTH - LEFT - x
        self.need(self.height(text, width, font))
        self.y += self.put(text, x, self.y, width, font, colour) + gap

    def heading(self, text: str, keep: float = 200) -> None:
        """A heading, with room for what follows it."""
        self.need(keep + 100)
        if self.y > TOP:
            self.y += 36
        self.y += self.put(text, LEFT, self.y, INNER, self.font(12, bold=True), ACCENT) + 10
        self.rule()

    def rule(self, colour: QColor = RULE) -> None:
        """A line over the whole width."""
        y = round(self.y)

        def draw(painter: QPainter) -> None:
            painter.setPen(QPen(colour, 2.5))
            painter.drawLine(round(LEFT), y, round(LEFT + INNER), y)

        self.paint(draw)
        self.y += 16

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float], numbers: int) -> None:
        """A table over the whole width; the last `numbers` columns are set to the right. Its head is repeated."""
        total = sum(widths)
        columns = [INNER * w / total for w in widths]
        small, strong = self.font(8), self.font(8, bold=True)
        self._row(head, columns, strong, SOFT, numbers, shaded=False)
        for i, row in enumerate(rows):
            height = max(self.height(cell, w - 16, small) for cell, w in zip(row, columns, strict=True)) + 16
            if self.need(height):
                self._row(head, columns, strong, SOFT, numbers, shaded=False)
            self._row(row, columns, small, INK, numbers, shaded=i % 2 == 0)

    def _row(
        self, cells: Sequence[str], columns: Sequence[float], font: QFont, colour: QColor, numbers: int, *, shaded: bool
    ) -> None:
        height = max(self.height(cell, w - 16, font) for cell, w in zip(cells, columns, strict=True)) + 16
        y, x = self.y, LEFT
        if shaded:
            self.paint(lambda p: p.fillRect(QRectF(LEFT, y, INNER, height), SHADE))
        for i, (cell, width) in enumerate(zip(cells, columns, strict=True)):
            right = i >= len(cells) - numbers
            align = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
            self.put(cell, x + 8, y + 8, width - 16, font, colour, align)
            x += width
        self.y += height

    def finish(self, footer: str) -> int:
        """Paint all pages, each with `footer` and its number; how many there are."""
        painter = QPainter(self.writer)
        if not painter.isActive():
            raise OSError("the file can't be written")
        try:
            for number, page in enumerate(self._pages, 1):
                if number > 1:
                    self.writer.newPage()
                for paint in page:
                    paint(painter)
                self._foot(painter, footer, f"Page {number} of {len(self._pages)}")
        finally:
            painter.end()
        return len(self._pages)

    def _foot(self, painter: QPainter, footer: str, number: str) -> None:
        y = HEIGHT - 140
        painter.setPen(QPen(RULE, 2.5))
        painter.drawLine(round(LEFT), round(y - 16), round(LEFT + INNER), round(y - 16))
        painter.setFont(self.font(7.5))
        painter.setPen(SOFT)
        painter.drawText(QRectF(LEFT, y, INNER - 250, 80), _WRAP, footer)
        painter.drawText(QRectF(LEFT + INNER - 250, y, 250, 40), int(Qt.AlignmentFlag.AlignRight), number)
