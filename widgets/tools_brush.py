"""Brush and eraser: strokes in mm, a disc on the slice or a ball.

A stroke is shown while it is drawn and reaches the session once, when the button is let go; so one undo takes back
one stroke.
"""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from contourdesk.app.footprints import Patch, stroke
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask, tight_box
from contourdesk.widgets.tool import Position, Spot, Tool


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


class Paint(Tool):
    """Adds with the brush."""

    id = "paint"
    text = "Paint"
    icon = "tool-paint"
    shortcut = "B"
    tip = "Add to the structure with the brush"
    hint = "Drag to add. Hold Shift to erase."
    cursor = Qt.CursorShape.BlankCursor
    brush = True
    _stroke: Stroke | None = None
    _structure_id = ""

    @property
    def busy(self) -> bool:
        """Whether a stroke is being drawn."""
        return self._stroke is not None

    def press(self, at: Spot) -> None:
        """Begin a stroke."""
        structure, session, state = self.editor.structure(), self.editor.session, self.editor.state
        if structure is None or session is None:
            return
        axis = None if state.brush_3d else at.plane.slice_axis
        erase = at.takes_away != self.erases
        self._stroke = Stroke(structure.mask, session.structures.grid, state.brush_mm / 2, axis, erase=erase)
        self._structure_id = structure.id
        self.move(at)

    def move(self, at: Spot) -> None:
        """Go on with the stroke."""
        if self._stroke is not None:
            self._stroke.go_to(at.index)
            self.editor.preview(self._structure_id, self._stroke.preview())

    def release(self, at: Spot) -> None:
        """Give the stroke to the session."""
        drawn = self._stroke
        if drawn is None:
            return
        self.cancel()
        patch = drawn.result()
        if patch is not None:
            self.editor.commit(self._structure_id, patch, "erase" if drawn.erases else "paint")

    def cancel(self) -> None:
        """Forget the stroke."""
        self._stroke = None
        self.editor.end_preview()


class Erase(Paint):
    """Takes away with the brush."""

    id = "erase"
    text = "Erase"
    icon = "tool-erase"
    shortcut = "E"
    tip = "Take away with the brush"
    hint = "Drag to take away. Hold Shift to add."
    erases = True
