"""Tools without options: navigate and fill."""

from __future__ import annotations

from qtpy.QtCore import Qt

from contourdesk.app.errors import UserError
from contourdesk.app.footprints import connected, enclosed, stamp
from contourdesk.widgets.language import tr
from contourdesk.widgets.tool import Spot, Tool


class Navigate(Tool):
    """Moves the crosshair."""

    id = "navigate"
    text = "Navigate"
    icon = "tool-navigate"
    shortcut = "N"
    tip = "Move the crosshair"
    hint = "Click or drag to move the crosshair. Shift+drag pans, double click shows one plane alone."
    edits = False

    def press(self, at: Spot) -> None:
        """Go there."""
        self.editor.cross_wanted.emit(at.index)

    move = press

    def double_click(self, at: Spot) -> None:
        """Show this plane alone, or all three again."""
        self.editor.maximise_wanted.emit(at.plane.name)


class Fill(Tool):
    """Fills an outline, or removes a part, on the slice."""

    id = "fill"
    text = "Fill"
    icon = "tool-fill"
    shortcut = "F"
    tip = "Fill a closed outline"
    hint = "Click inside a closed outline to fill it on this slice. Shift+click removes the part under the mouse."
    cursor = Qt.CursorShape.PointingHandCursor

    def press(self, at: Spot) -> None:
        """Fill or remove what is under the mouse."""
        structure, session = self.editor.structure(), self.editor.session
        if structure is None or session is None:
            return
        find = connected if at.takes_away else enclosed
        try:
            patch = find(structure.mask, session.structures.grid, at.voxel, at.plane.slice_axis)
        except UserError as problem:
            self.editor.say(str(problem))
            return
        if patch[1].size == 0:
            self.editor.say(
                tr("Click inside a closed outline to fill it. Shift+click removes the part under the mouse.")
            )
            return
        self.editor.commit(structure.id, stamp(structure.mask, patch, erase=at.takes_away), "fill")
