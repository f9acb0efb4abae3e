"""The nudge brush: pushes the outline on the slice as if it were soft (see `app.nudge`)."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from contourdesk.app.draft import Draft
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box
from contourdesk.app.limits import allowed
from contourdesk.app.nudge import Push, begin, plane_steps, push
from contourdesk.app.structures import Bits
from contourdesk.widgets.language import tr
from contourdesk.widgets.tool import Spot, Tool


class Nudge(Tool):
    """Pushes the outline outwards when pressed inside, inwards when pressed outside."""

    id = "nudge"
    text = "Nudge"
    icon = "tool-nudge"
    shortcut = "I"
    tip = "Push the outline"
    hint = (
        "Press inside and drag to push the outline outwards, press outside to push it inwards. Near the outline the "
        "brush shrinks until it just touches. Parts and holes stay."
    )
    cursor = Qt.CursorShape.BlankCursor
    brush = True
    ball = False
    _push: Push | None = None
    _draft: Draft | None = None
    _structure_id = ""
    _axis = 0
    _slice = 0

    @property
    def busy(self) -> bool:
        """Whether the outline is being pushed."""
        return self._push is not None

    @property
    def ring_mm(self) -> float | None:
        """Diameter of the body while it pushes."""
        return None if self._push is None else 2 * self._push.radius_mm

    def press(self, at: Spot) -> None:
        """Put the body down."""
        structure, session = self.editor.structure(), self.editor.session
        if structure is None or session is None:
            return
        items, limits = session.structures, session.limits
        self._structure_id, self._axis, self._slice = structure.id, at.plane.slice_axis, at.slice
        box = self._plane_box(items.grid.shape)
        try:
            may_add, may_take = (allowed(limits, items, structure.id, box, adding=adding) for adding in (True, False))
        except UserError as problem:
            self.editor.say(str(problem))
            return
        bits = self._flat(structure.mask.read(box))
        if not bits.any():
            self.editor.say(tr("{name} has no outline on this slice. Draw one first.").format(name=structure.name))
            return
        self._draft = Draft(items, structure.id, limits)
        self._push = begin(
            bits, plane_steps(items.grid, self._axis), self._place(at), self.editor.state.brush_mm / 2,
            None if may_add is None else self._flat(may_add), None if may_take is None else self._flat(may_take),
        )  # fmt: skip
        self.editor.redraw()

    def move(self, at: Spot) -> None:
        """Push on to here."""
        if self._push is None or self._draft is None:
            return
        before = self._push.bits
        self._push = push(self._push, self._place(at))
        if self._push.bits is not before:
            offset = [0, 0, 0]
            offset[self._axis] = self._slice
            bits = np.expand_dims(self._push.bits, self._axis)
            self._draft.put(((offset[0], offset[1], offset[2]), bits))
            self.editor.preview(self._structure_id, self._draft.mask)

    def release(self, at: Spot) -> None:
        """Give the new outline to the session."""
        draft = self._draft
        if draft is None:
            return
        self.cancel()
        self.editor.commit(self._structure_id, draft.patch, self.id)

    def cancel(self) -> None:
        """Forget the push."""
        self._push = self._draft = None
        self.editor.end_preview()

    def _place(self, at: Spot) -> tuple[float, float]:
        row, column = (at.index[a] for a in range(3) if a != self._axis)
        return row, column

    def _plane_box(self, shape: tuple[int, int, int]) -> Box:
        z, y, x = (slice(self._slice, self._slice + 1) if a == self._axis else slice(0, n) for a, n in enumerate(shape))
        return z, y, x

    def _flat(self, bits: Bits) -> Bits:
        return np.asarray(bits.squeeze(axis=self._axis))
