"""The points of the outline on the slice: drag, add and remove them (see `app.outline_points`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QKeyEvent, QPen

from contourdesk.app.draft import Draft
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import ViewPlane
from contourdesk.app.history import Index
from contourdesk.app.outline_points import (
    Loop,
    added,
    changed,
    loops_of,
    moved,
    nearest_edge,
    nearest_point,
    removed,
)
from contourdesk.app.structures import Bits, Mask
from contourdesk.widgets.tool import Sketch, Spot, Tool

_NEAR_PX = 8.0
_SHADOW = QColor(0, 0, 0, 200)


@dataclass(frozen=True, eq=False)
class _Outline:
    """The loops of one structure on one slice of one plane, and the mask that they belong to."""

    structure_id: str
    mask: Mask
    plane: ViewPlane
    slice: int
    loops: tuple[Loop, ...]


class Points(Tool):
    """Drags, adds and removes points of the outline."""

    id = "points"
    text = "Points"
    icon = "tool-points"
    shortcut = "Shift+G"
    tip = "Drag, add and remove the points of the outline"
    hint = (
        "Drag a point. Click on the line to add one. Right click, Delete or Alt+click removes it. "
        "Only what lies between the old line and the new one changes."
    )
    _outline: _Outline | None = None
    _grabbed: tuple[int, int] | None = None
    _near: tuple[int, int] | None = None
    _before: tuple[Loop, ...] = ()
    _bits: Bits = np.zeros((0, 0), bool)
    _draft: Draft | None = None

    @property
    def busy(self) -> bool:
        """Whether a point is being dragged."""
        return self._grabbed is not None

    def press(self, at: Spot) -> None:
        """Take hold of the point under the mouse, or of a new one on the line."""
        outline = self._of(at, tell=True)
        if outline is None:
            return
        scale, place = self._scale(at), self._place(at)
        which = nearest_point(outline.loops, place, scale, _NEAR_PX)
        if which is not None and at.takes_away:
            self._remove(which)
            return
        loops = outline.loops
        if which is None:
            edge = nearest_edge(loops, place, scale, _NEAR_PX)
            if edge is None:
                return
            loops = added(loops, edge, place)
            which = edge[0], edge[1] + 1
        self._begin(outline)
        self._grabbed = self._near = which
        self._show(loops)

    def move(self, at: Spot) -> None:
        """Move the point here."""
        if self._grabbed is not None and self._outline is not None:
            self._show(moved(self._outline.loops, self._grabbed, self._place(at)))

    def release(self, at: Spot) -> None:
        """Give the new outline to the session."""
        if self._grabbed is not None:
            self._finish()

    def hover(self, at: Spot) -> None:
        """Mark the point under the mouse."""
        outline = self._of(at, tell=False)
        near = None if outline is None else nearest_point(outline.loops, self._place(at), self._scale(at), _NEAR_PX)
        if near != self._near:
            self._near = near
            self.editor.redraw()

    def right_click(self, at: Spot) -> bool:
        """Remove the point under the mouse."""
        outline = self._of(at, tell=True)
        which = None if outline is None else nearest_point(outline.loops, self._place(at), self._scale(at), _NEAR_PX)
        if which is None:
            return False
        self._remove(which)
        return True

    def key(self, event: QKeyEvent) -> bool:
        """Remove the marked point with Delete or Backspace."""
        if event.key() not in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) or self._near is None or self.busy:
            return False
        if self._current() is None or self.editor.structure() is None:
            return False
        self._remove(self._near)
        return True

    def cancel(self) -> None:
        """Put the point back."""
        if self._grabbed is not None:
            self._outline = None
        self._grabbed = self._draft = None
        self.editor.end_preview()

    # -- the outline ----------------------------------------------------------------------------------------------

    def _current(self) -> _Outline | None:
        """The outline in hand, if it still is that of the structure in hand."""
        outline, structure = self._outline, self.editor.state.structure(self.editor.state.active)
        if outline is None or structure is None or structure.id != outline.structure_id:
            return None
        return outline if structure.mask is outline.mask or self.busy else None

    def _of(self, at: Spot, *, tell: bool) -> _Outline | None:
        """The outline of the structure in hand where the mouse is."""
        if tell and self.editor.structure() is None:
            return None
        before = self._outline
        outline = self._on(at.plane, at.slice)
        if outline is not before:
            self.editor.redraw()
        return outline

    def _on(self, plane: ViewPlane, slice_: int) -> _Outline | None:
        """The outline of the structure in hand on a slice, made anew where it is another than the last one."""
        state = self.editor.state
        structure, outline = state.structure(state.active), self._current()
        if structure is None or state.session is None or structure.id in state.hidden:
            return None
        if outline is not None and outline.plane.name == plane.name and outline.slice == slice_:
            return outline
        if self.busy:
            return None
        spacing = [s for a, s in enumerate(state.session.structures.grid.spacing_mm) if a != plane.slice_axis]
        loops = loops_of(self._slice_of(structure.mask, plane, slice_), spacing)
        self._near = None
        self._outline = _Outline(structure.id, structure.mask, plane, slice_, loops)
        return self._outline

    def _slice_of(self, mask: Mask, plane: ViewPlane, slice_: int) -> Bits:
        session = self.editor.session
        assert session is not None  # _of has looked
        z, y, x = (
            slice(slice_, slice_ + 1) if a == plane.slice_axis else slice(0, n)
            for a, n in enumerate(session.structures.grid.shape)
        )
        return np.asarray(mask.read((z, y, x)).squeeze(axis=plane.slice_axis))

    def _begin(self, outline: _Outline) -> None:
        session = self.editor.session
        assert session is not None  # _of has looked
        self._before = outline.loops
        self._bits = self._slice_of(outline.mask, outline.plane, outline.slice)
        self._draft = Draft(session.structures, outline.structure_id, session.limits)

    def _show(self, loops: tuple[Loop, ...]) -> None:
        outline, draft = self._outline, self._draft
        if outline is None or draft is None:
            return
        self._outline = _Outline(outline.structure_id, outline.mask, outline.plane, outline.slice, loops)
        offset = [0, 0, 0]
        offset[outline.plane.slice_axis] = outline.slice
        place: Index = (offset[0], offset[1], offset[2])
        bits = np.expand_dims(changed(self._bits, self._before, loops), outline.plane.slice_axis)
        try:
            draft.put((place, bits))
        except UserError as problem:
            self.cancel()
            self.editor.say(str(problem))
            return
        self.editor.preview(outline.structure_id, draft.mask)

    def _remove(self, which: tuple[int, int]) -> None:
        outline = self._outline
        if outline is None:
            return
        self._begin(outline)
        self._near = None
        self._show(removed(outline.loops, which))
        self._finish()

    def _finish(self) -> None:
        """Give the outline to the session, and go on with its points if it took them as they are."""
        outline, draft, session = self._outline, self._draft, self.editor.session
        self._grabbed = self._draft = None
        self.editor.end_preview()
        if outline is None or draft is None or session is None:
            return
        self.editor.commit(outline.structure_id, draft.patch, "contour points")
        structure = self.editor.state.structure(outline.structure_id)
        wanted = changed(self._bits, self._before, outline.loops)
        if structure is None or not np.array_equal(
            self._slice_of(structure.mask, outline.plane, outline.slice), wanted
        ):
            self._outline = None  # the limits left part of it: the points are made anew
        else:
            self._outline = _Outline(structure.id, structure.mask, outline.plane, outline.slice, outline.loops)
        self.editor.redraw()

    # -- places ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _place(at: Spot) -> tuple[float, float]:
        row, column = (at.index[a] for a in range(3) if a != at.plane.slice_axis)
        return row, column

    @staticmethod
    def _scale(at: Spot) -> tuple[float, float]:
        down, across = at.pixels
        return (down, across) if at.plane.vertical_axis < at.plane.horizontal_axis else (across, down)

    def draw(self, sketch: Sketch) -> None:
        """The points, the marked one larger, and the lines between them."""
        if self._outline is None or self._outline.plane.name != sketch.plane.name:
            return  # the mouse is in another plane
        outline = self._on(sketch.plane, sketch.slice)
        if outline is None:
            return
        painter, upright = sketch.painter, sketch.plane.vertical_axis < sketch.plane.horizontal_axis
        for n, loop in enumerate(outline.loops):
            at = [sketch.point((r, c) if upright else (c, r)) for r, c in loop.tolist()]
            painter.setPen(QPen(sketch.colour, 1, Qt.PenStyle.DotLine))
            painter.drawPolygon(at)
            painter.setPen(QPen(_SHADOW, 1))
            for k, point in enumerate(at):
                marked = self._near == (n, k)
                painter.setBrush(QColor(255, 255, 255) if marked else sketch.colour)
                painter.drawEllipse(point, *((5.5, 5.5) if marked else (3.2, 3.2)))
            painter.setBrush(Qt.BrushStyle.NoBrush)
