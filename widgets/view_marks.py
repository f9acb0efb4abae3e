"""What is marked over the planes: measurements, and outlines of other versions, dashed beside the solid one of now."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen, QTransform

from contourdesk.app.geometry import ViewPlane
from contourdesk.app.structures import Mask, Structure
from contourdesk.app.versions import ghost
from contourdesk.widgets.measurements import Measurements
from contourdesk.widgets.view_outlines import OutlineCache

_HALO = QColor(0, 0, 0, 150)
_DASHES = [5.0, 4.0]


class Marks(QObject):
    """What is marked: `ghosts` of first versions or not, two `compared` masks of the active structure, measurements."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.ghosts = False
        self.compared: tuple[Mask, Mask] | None = None
        self.measurements = Measurements(self)
        self.measurements.changed.connect(self.changed)

    def toggle_ghosts(self) -> None:
        """Show what was first proposed or imported, dashed, beside what it has become; or no more."""
        self.ghosts = not self.ghosts
        self.changed.emit()

    def compare(self, masks: tuple[Mask, Mask] | None) -> None:
        """Show two versions of the active structure in the place of its outline, the first dashed; None: no more."""
        self.compared = masks
        self.changed.emit()

    def reset(self) -> None:
        """Another case: nothing is marked."""
        self.compared = None
        self.measurements.clear()


def draw_versions(
    painter: QPainter,
    cache: OutlineCache,
    marks: Marks,
    shown: Sequence[Structure],
    active: str | None,
    to_screen: QTransform,
    plane: ViewPlane,
    index: int,
) -> None:
    """First versions of the structures shown that are another by now, and the two compared ones of the active."""
    for s in shown:
        if marks.compared is not None and s.id == active:
            for key, mask, dashed in (("one", marks.compared[0], True), ("other", marks.compared[1], False)):
                _draw(painter, cache, f"compared {key}", s, mask, to_screen, plane, index, dashed=dashed)
            continue
        first = ghost(s) if marks.ghosts else None
        if first is not None:
            _draw(painter, cache, f"ghost {s.id}", s, first, to_screen, plane, index, dashed=True)


def _draw(
    painter: QPainter,
    cache: OutlineCache,
    key: str,
    structure: Structure,
    mask: Mask,
    to_screen: QTransform,
    plane: ViewPlane,
    index: int,
    *,
    dashed: bool,
) -> None:
    path = to_screen.map(cache.get(key, mask, plane, index))
    if path.isEmpty():
        return
    pen = QPen(QColor(*structure.colour).lighter(150 if dashed else 125), 1.7 if dashed else 2.6)
    if dashed:
        pen.setDashPattern(_DASHES)
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    painter.strokePath(path, QPen(_HALO, pen.widthF() + 1.6))
    painter.strokePath(path, pen)
