"""All that is drawn over one plane's image: structures, crosshair, letters, brush ring, the tool's sketch."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QFont, QFontInfo, QPainter, QPainterPath, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QWidget

from contourdesk.app.geometry import Grid, ViewPlane
from contourdesk.app.structures import Mask, Structure
from contourdesk.widgets.layers import ImageCanvas
from contourdesk.widgets.measurements import draw_measurements
from contourdesk.widgets.tool import Sketch
from contourdesk.widgets.view_confidence import ConfidenceImage, draw_legend
from contourdesk.widgets.view_marks import draw_versions
from contourdesk.widgets.view_outlines import OutlineCache
from contourdesk.widgets.view_state import ViewState

CROSS = QColor(120, 190, 255)
TEXT = QColor(214, 220, 228)
LETTER = QColor(255, 206, 110)
SHADOW = QColor(0, 0, 0, 200)
_ERASE = QColor(255, 120, 110)
_PROPOSAL = QColor(255, 255, 255)
_GAP_PX = 14  # the crosshair leaves the voxel in question free
_EDGE_PX = 8


class Overlay(QWidget):
    """Transparent, lets the mouse through, lies on the canvas's native widget."""

    def __init__(self, canvas: ImageCanvas, state: ViewState) -> None:
        super().__init__(canvas.native)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self._canvas = canvas
        self._state = state
        self._cache = OutlineCache()
        self._confidence = ConfidenceImage()
        self._still, self._still_key = QPixmap(), ()  # picture of all structures but the active one, and of what it is
        self.plane: ViewPlane | None = None
        self.cursor_at: QPointF | None = None  # screen position of the mouse, None when it is elsewhere
        self.erasing = False  # Shift is held: the ring says so

    def show_plane(self, plane: ViewPlane | None) -> None:
        """Draw for this plane from now on."""
        self.plane = plane
        self._cache.clear()
        self._confidence.clear()
        self._still, self._still_key = QPixmap(), ()
        self.update()

    def prepare(self) -> None:
        """Compute the outlines that are going to be drawn, before the view is seen."""
        if self.plane is not None and self._state.session is not None:
            wanted = [(structure.id, mask) for structure, mask in self._state.shown()]
            self._cache.prepare(wanted, self.plane, self._state.cross[self.plane.slice_axis])

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw everything."""
        plane, session = self.plane, self._state.session
        if plane is None or session is None:
            return
        grid = session.structures.grid
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        index = self._state.cross[plane.slice_axis]
        confidence = session.confidence(self._state.active) if self._state.confidence else None
        if confidence is not None:
            self._confidence.draw(painter, self._canvas.to_screen(), plane, index, confidence)
        shown, marks, active = self._state.shown(), self._state.marks, self._state.active
        self._cache.prepare([(structure.id, mask) for structure, mask in shown], plane, index)
        others = [(structure, mask) for structure, mask in shown if structure.id != active]
        self._draw_others(painter, plane, index, others)
        for structure, mask in shown:
            if structure.id == active and marks.compared is None:
                self._draw_structure(painter, structure, self._cache.get(structure.id, mask, plane, index))
        self._draw_proposal(painter, plane, index)
        structures = [structure for structure, _ in shown]
        draw_versions(painter, self._cache, marks, structures, active, self._canvas.to_screen(), plane, index)
        self._draw_crosshair(painter, plane)
        self._state.tool.draw(
            Sketch(painter, self._canvas.to_screen(), plane, index, self.cursor_at, self._tool_colour())
        )
        draw_measurements(painter, self._canvas.to_screen(), plane, index, marks.measurements.items)
        self._draw_ring(painter, grid)
        self._draw_text(painter, plane, grid)
        painter.end()

    def _draw_others(
        self, painter: QPainter, plane: ViewPlane, index: int, others: list[tuple[Structure, Mask]]
    ) -> None:
        """All structures but the active one, from a picture that holds as long as nothing of them changes."""
        to_screen, ratio, state = self._canvas.to_screen(), self.devicePixelRatioF(), self._state
        # Masks are frozen: the same object is the same picture. A decision or a name changes nothing in it.
        drawn = [(structure.id, structure.colour, mask) for structure, mask in others]
        key = (drawn, to_screen, self.size(), ratio, index, state.display, state.opacity, state.line_width)
        if key != self._still_key:
            self._still_key, self._still = key, QPixmap(self.size() * ratio)
            self._still.setDevicePixelRatio(ratio)
            self._still.fill(Qt.GlobalColor.transparent)
            into = QPainter(self._still)
            into.setRenderHint(QPainter.RenderHint.Antialiasing)
            for structure, mask in others:
                self._draw_structure(into, structure, self._cache.get(structure.id, mask, plane, index))
            into.end()
        painter.drawPixmap(0, 0, self._still)

    def _draw_structure(self, painter: QPainter, structure: Structure, path: QPainterPath) -> None:
        if path.isEmpty():
            return
        state = self._state
        active = structure.id == state.active
        colour = QColor(*structure.colour)
        on_screen = self._canvas.to_screen().map(path)
        if state.display in ("fill", "both"):
            shade = QColor(colour)
            shade.setAlphaF(state.opacity)
            painter.fillPath(on_screen, shade)
        if state.display == "fill" and not active:
            return
        width = state.line_width + 1.1 if active else state.line_width
        line, halo = colour.lighter(125) if active else colour, QColor(0, 0, 0, 170)
        if state.display == "outline":  # only the lower part of the slider makes lines fainter
            line.setAlphaF(min(1.0, 0.3 + 2 * state.opacity))
            halo.setAlphaF(min(0.65, 1.5 * state.opacity))
        painter.strokePath(on_screen, QPen(halo, width + 2.0))  # tells bright lines from bright bone
        painter.strokePath(on_screen, QPen(line, width))

    def _draw_proposal(self, painter: QPainter, plane: ViewPlane, index: int) -> None:
        if self._state.proposal is None:
            return
        path = self._canvas.to_screen().map(self._cache.get("proposal", self._state.proposal, plane, index))
        painter.strokePath(path, QPen(SHADOW, 3.2))
        painter.strokePath(path, QPen(_PROPOSAL, 1.6, Qt.PenStyle.DashLine))

    def _draw_crosshair(self, painter: QPainter, plane: ViewPlane) -> None:
        cross = self._state.cross
        centre = self._canvas.to_screen().map(QPointF(cross[plane.horizontal_axis], cross[plane.vertical_axis]))
        x, y, w, h = centre.x(), centre.y(), self.width(), self.height()
        colour = QColor(CROSS)
        colour.setAlpha(170 if self._state.tool.id == "navigate" else 70)
        painter.setPen(QPen(colour, 1))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        for a, b in (
            ((0, y), (x - _GAP_PX, y)),
            ((x + _GAP_PX, y), (w, y)),
            ((x, 0), (x, y - _GAP_PX)),
            ((x, y + _GAP_PX), (x, h)),
        ):
            painter.drawLine(QPointF(*a), QPointF(*b))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)

    def _draw_ring(self, painter: QPainter, grid: Grid) -> None:
        if self.cursor_at is None or not self._state.tool.brush:
            return
        radius = (self._state.tool.ring_mm or self._state.brush_mm) / 2 * self._canvas.zoom
        painter.setPen(QPen(SHADOW, 2.6))
        painter.drawEllipse(self.cursor_at, radius, radius)
        painter.setPen(QPen(self._tool_colour(), 1.3))
        painter.drawEllipse(self.cursor_at, radius, radius)

    def _tool_colour(self) -> QColor:
        structure = self._state.structure(self._state.active)
        if self._state.tool.erases or self.erasing:
            return _ERASE
        return QColor(*structure.colour).lighter(125) if structure is not None else TEXT

    def _draw_text(self, painter: QPainter, plane: ViewPlane, grid: Grid) -> None:
        area = QRectF(self.rect()).adjusted(_EDGE_PX, _EDGE_PX, -_EDGE_PX, -_EDGE_PX)
        align = Qt.AlignmentFlag
        size = QFontInfo(self.font()).pixelSize()
        font = QFont(self.font())
        font.setPixelSize(round(size * 1.15))
        font.setBold(True)
        painter.setFont(font)
        for letter, where in (
            (plane.top, align.AlignTop | align.AlignHCenter),
            (plane.bottom, align.AlignBottom | align.AlignHCenter),
            (plane.left, align.AlignLeft | align.AlignVCenter),
            (plane.right, align.AlignRight | align.AlignVCenter),
        ):
            shadowed(painter, area, where, letter, LETTER)
        shadowed(painter, area, align.AlignTop | align.AlignLeft, plane.name.capitalize(), TEXT)
        if self._state.confidence:
            self._draw_legend(painter, area)
        font.setPixelSize(round(size * 0.92))
        font.setBold(False)
        painter.setFont(font)
        shadowed(painter, area, align.AlignBottom | align.AlignLeft, self._slice_text(plane, grid), TEXT)
        if self.width() > 34 * size:
            centre, width = self._state.window
            shadowed(painter, area, align.AlignBottom | align.AlignRight, f"C {centre:.0f}  W {width:.0f}", TEXT)

    def _draw_legend(self, painter: QPainter, area: QRectF) -> None:
        session, active = self._state.session, self._state.active
        if session is not None and active is not None:
            below = area.adjusted(0, 1.3 * painter.fontMetrics().height(), 0, 0)
            painter.setFont(self.font())
            left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
            known = session.confidence(active) is not None
            draw_legend(painter, below, lambda at, text: shadowed(painter, at, left, text, TEXT), known=known)

    def _slice_text(self, plane: ViewPlane, grid: Grid) -> str:
        cross = self._state.cross
        world, _ = grid.world_axes[plane.slice_axis]
        place = float(grid.to_world(cross)[world])
        return f"Slice {cross[plane.slice_axis] + 1}/{grid.shape[plane.slice_axis]}\n{axis_text(world, place)} mm"


def axis_text(world: int, mm: float) -> str:
    """One LPS coordinate with its letter in place of a sign: ``axis_text(0, -12.34)`` is "R 12.3"."""
    letters = (("R", "L"), ("A", "P"), ("I", "S"))[world]
    return f"{letters[1] if mm >= 0 else letters[0]} {abs(mm):.1f}"


def shadowed(painter: QPainter, area: QRectF, where: Qt.AlignmentFlag, text: str, colour: QColor) -> None:
    """Draw a text that can be read on dark and on bright images."""
    painter.setPen(SHADOW)
    for dx, dy in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        painter.drawText(area.translated(dx, dy), where, text)
    painter.setPen(colour)
    painter.drawText(area, where, text)
