"""From the mouse to the session: strokes, polygons and fills on the active structure.

A stroke is shown while it is drawn and reaches the session once, when the button is let go; so one undo takes back
one stroke. All shapes come from `app.footprints`, in mm.
"""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QObject, Signal

from contourdesk.app.errors import UserError
from contourdesk.app.footprints import Patch, connected, enclosed, polygon, stamp, stroke
from contourdesk.app.geometry import Grid, ViewPlane
from contourdesk.app.structures import Mask, Structure, tight_box
from contourdesk.widgets.view_state import Polygon, ViewState

Position = tuple[float, float, float]


class Stroke:
    """One stroke of the brush on a copy of a mask."""

    def __init__(self, mask: Mask, grid: Grid, radius_mm: float, slice_axis: int | None, *, erase: bool) -> None:
        self._mask, self._grid = mask, grid
        self._radius_mm, self._slice_axis, self.erases = radius_mm, slice_axis, erase
        # Memory that is never touched costs nothing; a stroke touches little.
        self._work = mask.dense(grid.shape)
        self._low, self._high = np.array(grid.shape), np.zeros(3, int)
        self._last: Position | None = None

    def go_to(self, point: Position) -> None:
        """Sweep the brush from the last point to this one, a voxel index (z, y, x), fractions allowed."""
        points = [point] if self._last is None else [self._last, point]
        self._last = point
        offset, bits = stroke(self._grid, points, self._radius_mm, self._slice_axis)
        if bits.size == 0:
            return
        box = tuple(slice(o, o + n) for o, n in zip(offset, bits.shape, strict=True))
        if self.erases:
            self._work[box] &= ~bits
        else:
            self._work[box] |= bits
        self._low = np.minimum(self._low, offset)
        self._high = np.maximum(self._high, np.add(offset, bits.shape))

    def preview(self) -> Mask:
        """The mask as it would become."""
        low, high = self._low, self._high
        if self._mask.bits.size:
            low = np.minimum(low, self._mask.offset)
            high = np.maximum(high, np.add(self._mask.offset, self._mask.bits.shape))
        return self._read(low, high)

    def result(self) -> Patch | None:
        """The tight box of voxels that the stroke changed, as offset and new bits; None when it changed nothing."""
        after = self._read(self._low, self._high)
        changed = tight_box(after.bits != self._mask.read(after.box)) if after.bits.size else None
        if changed is None:
            return None
        z, y, x = (o + s.start for o, s in zip(after.offset, changed, strict=True))
        return (z, y, x), after.bits[changed].copy()

    def _read(self, low: np.ndarray, high: np.ndarray) -> Mask:
        if (high <= low).any():
            return Mask()
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return Mask((z.start, y.start, x.start), self._work[z, y, x])


class Editor(QObject):
    """Applies the tool in hand to the active structure."""

    changed = Signal()  # something to draw again
    error = Signal(str)

    def __init__(self, state: ViewState, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self._stroke: Stroke | None = None

    @property
    def busy(self) -> bool:
        """Whether a stroke or a polygon is being drawn."""
        return self._stroke is not None or self._state.polygon is not None

    def press(self, plane: ViewPlane, index_zyx: Position, *, erase: bool) -> None:
        """The left button went down with an editing tool. `erase`: Shift is held."""
        structure = self._editable()
        if structure is None:
            return
        tool = self._state.tool
        if tool in ("paint", "erase"):
            self._begin_stroke(structure, plane, index_zyx, erase=erase != (tool == "erase"))
        elif tool == "polygon":
            self._add_corner(plane, index_zyx)
        elif tool == "fill":
            self._fill(structure, plane, index_zyx, erase=erase)

    def drag(self, index_zyx: Position) -> None:
        """The mouse moved with the left button down."""
        if self._stroke is not None and self._state.preview is not None:
            self._stroke.go_to(index_zyx)
            self._state.preview = (self._state.preview[0], self._stroke.preview())
            self.changed.emit()

    def release(self) -> None:
        """The left button came up: the stroke goes to the session."""
        working, preview = self._stroke, self._state.preview
        if working is None or preview is None:
            return
        erasing = working.erases
        self.cancel_stroke()
        patch = working.result()
        if patch is not None:
            self._commit(preview[0], patch, "erase" if erasing else "paint")

    def cancel_stroke(self) -> None:
        """Forget the stroke that is being drawn."""
        self._stroke = self._state.preview = None
        self.changed.emit()

    def cancel(self) -> None:
        """Forget stroke and polygon."""
        self._state.polygon = None
        self.cancel_stroke()

    def close_polygon(self, *, erase: bool) -> None:
        """Add the polygon's inside to the structure, or with `erase` take it away."""
        draft, structure = self._state.polygon, self._editable()
        if draft is None or structure is None or self._state.session is None:
            return
        if len(draft.corners) < 3:
            self.error.emit("A polygon needs at least three corners.")
            return
        points = np.zeros((len(draft.corners), 3))
        points[:, [draft.plane.vertical_axis, draft.plane.horizontal_axis]] = draft.corners
        patch = polygon(self._state.session.structures.grid, points, draft.plane.slice_axis, draft.index)
        self._state.polygon = None
        self.changed.emit()
        self._commit(structure.id, stamp(structure.mask, patch, erase=erase), "polygon")

    def drop_corner(self) -> None:
        """Take back the polygon's last corner."""
        draft = self._state.polygon
        if draft is not None:
            draft.corners.pop()
            if not draft.corners:
                self._state.polygon = None
            self.changed.emit()

    def _begin_stroke(self, structure: Structure, plane: ViewPlane, at: Position, *, erase: bool) -> None:
        session = self._state.session
        assert session is not None  # _editable has looked
        axis = None if self._state.brush_3d else plane.slice_axis
        self._stroke = Stroke(structure.mask, session.structures.grid, self._state.brush_mm / 2, axis, erase=erase)
        self._state.preview = (structure.id, structure.mask)
        self.drag(at)

    def _add_corner(self, plane: ViewPlane, at: Position) -> None:
        index = round(at[plane.slice_axis])
        draft = self._state.polygon
        if draft is None or draft.plane.name != plane.name or draft.index != index:
            draft = self._state.polygon = Polygon(plane, index, [])
        corner = (at[plane.vertical_axis], at[plane.horizontal_axis])
        if not draft.corners or draft.corners[-1] != corner:
            draft.corners.append(corner)
        self.changed.emit()

    def _fill(self, structure: Structure, plane: ViewPlane, at: Position, *, erase: bool) -> None:
        session = self._state.session
        assert session is not None  # _editable has looked
        seed = (round(at[0]), round(at[1]), round(at[2]))
        find = connected if erase else enclosed
        try:
            patch = find(structure.mask, session.structures.grid, seed, plane.slice_axis)
        except UserError as problem:
            self.error.emit(str(problem))
            return
        if patch[1].size == 0:
            self.error.emit("Click inside a closed outline to fill it. Shift+click removes the part under the mouse.")
            return
        self._commit(structure.id, stamp(structure.mask, patch, erase=erase), "fill")

    def _commit(self, structure_id: str, patch: Patch, tool: str) -> None:
        session = self._state.session
        if session is None or patch[1].size == 0:
            return
        try:
            session.paint(structure_id, patch[0], patch[1], tool)
        except UserError as problem:
            self.error.emit(str(problem))

    def _editable(self) -> Structure | None:
        structure = self._state.structure(self._state.active)
        if self._state.session is None:
            return None
        if structure is None:
            self.error.emit("No structure is chosen. Choose one in the table, or add one, then draw.")
        elif structure.id in self._state.hidden:
            self.error.emit(f"{structure.name} is hidden. Show it before you change it.")
            return None
        return structure
