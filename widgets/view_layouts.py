"""How the views share the room: one large and small ones beside it, two by two with surfaces, or one alone.

The views stay children of one widget and are only given other places: moving an OpenGL widget to another parent costs
a flicker, and on some systems its context. The gaps between them are this widget's own ground and can be dragged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qtpy.QtCore import QPoint, QRect, QSize, Qt, Signal
from qtpy.QtGui import QMouseEvent, QResizeEvent
from qtpy.QtWidgets import QWidget

LAYOUTS = ("three", "four", "one")
_GAP_PX = 4
_LEAST, _MOST = 0.25, 0.75  # of the room, for a column or row


@dataclass(frozen=True)
class Arrangement:
    """A layout: `kind` of `LAYOUTS`, `big` the view that is large or alone, `across` and `down` where the gaps are.

    "three" has the other two planes beside the large view (all three beside the surfaces, when these are large).
    """

    kind: str = "three"
    big: str = "axial"
    across: float = 0.64
    down: float = 0.5

    @classmethod
    def from_text(cls, text: str, names: tuple[str, ...]) -> Arrangement:
        """Inverse of `text`; what can't be understood becomes the usual layout."""
        parts = text.split()
        try:
            kind, big, across, down = parts[0], parts[1], float(parts[2]), float(parts[3])
        except (IndexError, ValueError):
            return cls()
        if kind not in LAYOUTS or big not in names or not (_inside(across) and _inside(down)):
            return cls()
        return cls(kind, big, across, down)

    @property
    def text(self) -> str:
        """For the settings."""
        return f"{self.kind} {self.big} {self.across:.3f} {self.down:.3f}"


class ViewLayouts(QWidget):
    """Holds the views and gives each its place; `views` in the order of the "four" layout: by rows.

    `changed` comes when the arrangement is another one.
    """

    changed = Signal()

    def __init__(self, views: Mapping[str, QWidget], surfaces: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("view_layouts")
        self._views = dict(views)
        self._surfaces = surfaces
        self._before: Arrangement | None = None  # what a maximised view goes back to
        self._arrangement = Arrangement()
        self._drag: Qt.Orientation | None = None
        self._held_back: set[str] = set()
        self.setMouseTracking(True)
        for view in self._views.values():
            view.setParent(self)
        self._place()

    @property
    def arrangement(self) -> Arrangement:
        """How the views lie."""
        return self._arrangement

    @property
    def kept(self) -> Arrangement:
        """The arrangement to remember: a view that is maximised for a moment doesn't count."""
        return self._before or self._arrangement

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all views."""
        return tuple(self._views)

    @property
    def following(self) -> str:
        """The layout that comes after this one, the first again after the last."""
        return LAYOUTS[(LAYOUTS.index(self._arrangement.kind) + 1) % len(LAYOUTS)]

    def arrange(self, arrangement: Arrangement) -> None:
        """Arrange the views in another way."""
        self._before = None
        self._set(arrangement)

    def choose(self, kind: str, current: str) -> None:
        """Choose one of `LAYOUTS`; `current` is the view to show alone. Raises ValueError."""
        if kind not in LAYOUTS:
            raise ValueError(f"layout must be one of {LAYOUTS}, got {kind!r}")
        now = self.kept
        usual = Arrangement(kind)
        across = now.across if kind == now.kind else (0.5 if kind == "four" else usual.across)
        self.arrange(Arrangement(kind, current if kind == "one" else now.big, across, now.down))

    def enlarge(self, name: str) -> None:
        """Make a view the large one, with the others beside it. Raises ValueError."""
        if name not in self._views:
            raise ValueError(f"view must be one of {self.names}, got {name!r}")
        now = self.kept
        self.arrange(replace(now, kind="three", big=name, across=now.across if now.kind == "three" else 0.64))

    def toggle_maximised(self, name: str) -> None:
        """Show a view alone, or all as before."""
        if self._before is not None and self._arrangement.big == name:
            self.arrange(self._before)
        elif self._arrangement.kind == "one":
            self.arrange(Arrangement() if self._before is None else self._before)
        else:
            before = self._arrangement
            self._set(replace(before, kind="one", big=name))
            self._before = before

    def _set(self, arrangement: Arrangement) -> None:
        if arrangement != self._arrangement:
            self._arrangement = arrangement
            self._place()
            self.changed.emit()

    # -- places ---------------------------------------------------------------------------------------------------

    def cells(self) -> dict[str, QRect]:
        """Place of each view that is shown."""
        now, room = self._arrangement, self.rect()
        if now.kind == "one":
            return {now.big: room}
        left = round((room.width() - _GAP_PX) * now.across)
        right = QRect(left + _GAP_PX, 0, room.width() - left - _GAP_PX, room.height())
        left_part = QRect(0, 0, left, room.height())
        if now.kind == "four":
            names = self.names
            rows = [self._rows(part, 2) for part in (left_part, right)]
            return {names[0]: rows[0][0], names[1]: rows[1][0], names[2]: rows[0][1], names[3]: rows[1][1]}
        beside = [n for n in self._views if n not in (now.big, self._surfaces)]
        return {now.big: left_part, **dict(zip(beside, self._rows(right, len(beside)), strict=True))}

    def _rows(self, part: QRect, count: int) -> list[QRect]:
        free = part.height() - _GAP_PX * (count - 1)
        shares = [self._arrangement.down, 1 - self._arrangement.down] if count == 2 else [1 / count] * count
        heights = [round(free * share) for share in shares]
        heights[-1] = free - sum(heights[:-1])
        tops = [part.top() + sum(heights[:i]) + _GAP_PX * i for i in range(count)]
        return [QRect(part.left(), top, part.width(), height) for top, height in zip(tops, heights, strict=True)]

    def _place(self) -> None:
        cells = self.cells()
        for name, view in self._views.items():
            if name in cells:
                view.setGeometry(cells[name])
            view.setVisible(name in cells and name not in self._held_back)

    def hold_back(self) -> None:
        """Leave all views but the large one unseen until `bring` brings them: a frame of all at once takes long."""
        self._held_back = set(self._views) - {self._arrangement.big}
        self._place()

    def bring(self, name: str) -> None:
        """Show a view that was held back, if it has a place."""
        self._held_back.discard(name)
        self._place()

    def minimumSizeHint(self) -> QSize:
        """Two of the smallest views beside and above each other."""
        least = [view.minimumSize() for view in self._views.values()]
        return QSize(2 * max(s.width() for s in least), 2 * max(s.height() for s in least))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Share the new room."""
        super().resizeEvent(event)
        self._place()

    # -- dragging the gaps ----------------------------------------------------------------------------------------

    def _gap_at(self, at: QPoint) -> Qt.Orientation | None:
        """The way in which the gap under the mouse can be dragged."""
        if self._arrangement.kind == "one":
            return None
        left = round((self.width() - _GAP_PX) * self._arrangement.across)
        return Qt.Orientation.Horizontal if left - 1 <= at.x() <= left + _GAP_PX else Qt.Orientation.Vertical

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to drag a gap."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._drag = self._gap_at(event.position().toPoint())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag a gap, or show that it can be."""
        way = self._drag or self._gap_at(event.position().toPoint())
        shapes = {
            Qt.Orientation.Horizontal: Qt.CursorShape.SplitHCursor,
            Qt.Orientation.Vertical: Qt.CursorShape.SplitVCursor,
        }
        self.setCursor(shapes[way] if way is not None else Qt.CursorShape.ArrowCursor)
        if self._drag == Qt.Orientation.Horizontal:
            self._set(replace(self._arrangement, across=_clipped(event.position().x() / max(self.width(), 1))))
        elif self._drag == Qt.Orientation.Vertical:
            self._set(replace(self._arrangement, down=_clipped(event.position().y() / max(self.height(), 1))))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let the gap go."""
        self._drag = None


def _inside(share: float) -> bool:
    return _LEAST <= share <= _MOST


def _clipped(share: float) -> float:
    return min(max(share, _LEAST), _MOST)
