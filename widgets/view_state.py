"""What the three planes share: one plain object, changed by `OrthoView` and the editor, read when drawing."""

from __future__ import annotations

from dataclasses import dataclass, field

from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask, Structure
from contourdesk.widgets.tool import Tool
from contourdesk.widgets.view_marks import Marks

DISPLAYS = ("outline", "fill", "both")
BRUSH_RANGE_MM = (1.0, 100.0)


@dataclass
class ViewState:
    """Shared state of the views.

    `cross` is the voxel index (z, y, x) where the three planes meet; `tool` the one in hand (the editor puts it
    there); `brush_mm` is the brush's diameter; `line_width` that of outlines in pixels (the active one's is thicker);
    `preview` is a mask shown in place of a structure's own while a stroke is being drawn, `proposal` one shown dashed
    over all: what an operation would make; `confidence` says whether the model's uncertainty of the active structure
    is shown.
    """

    session: ReviewSession | None = None
    active: str | None = None
    hidden: set[str] = field(default_factory=set)
    display: str = "outline"
    opacity: float = 0.35
    line_width: float = 1.5
    cross: tuple[int, int, int] = (0, 0, 0)
    tool: Tool = field(init=False)
    brush_mm: float = 10.0
    brush_3d: bool = False
    window: tuple[float, float] = (40.0, 400.0)
    preview: tuple[str, Mask] | None = None
    proposal: Mask | None = None
    marks: Marks = field(default_factory=Marks)
    confidence: bool = False

    def structure(self, structure_id: str | None) -> Structure | None:
        """The structure with this id, or None."""
        if self.session is None:
            return None
        return next((s for s in self.session.structures if s.id == structure_id), None)

    def shown(self) -> list[tuple[Structure, Mask]]:
        """Visible structures with the masks to draw, the active one last so that it lies on top."""
        if self.session is None:
            return []
        visible = [s for s in self.session.structures if s.id not in self.hidden]
        visible.sort(key=lambda s: s.id == self.active)
        preview = self.preview
        return [(s, preview[1] if preview is not None and preview[0] == s.id else s.mask) for s in visible]
