"""Regions by value: flood from a click, and a range of values within a box or a lasso."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPen
from qtpy.QtWidgets import QWidget

from contourdesk.app.footprints import stamp
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.prompts import Kind, Prompt, footprint
from contourdesk.app.regions import between, flood, slab
from contourdesk.app.review import Snapshot
from contourdesk.app.structures import Structure
from contourdesk.widgets.language import tr
from contourdesk.widgets.tool import Sketch, Spot
from contourdesk.widgets.tool_options import ToolOptions, choice_row, number
from contourdesk.widgets.tool_proposing import Proposal, ProposingTool, draw_area, on_slice

if TYPE_CHECKING:
    from contourdesk.widgets.view_editing import Editor

_SHADOW = QColor(0, 0, 0, 190)
_LEAST_PX = 3.0
_DEPTHS = (("slice", "Slice", "On the slice alone"), ("volume", "Volume", "Through the slices"))
_SHAPES = (("box", "Box", "Drag a box"), ("lasso", "Lasso", "Draw round the region"))


@dataclass(frozen=True)
class Seed:
    """A click: where, on which plane, and whether it takes away."""

    voxel: tuple[int, int, int]
    slice_axis: int
    away: bool


class FloodTool(ProposingTool):
    """Takes what hangs together with a click and has a value like it."""

    id = "flood"
    text = "Flood"
    icon = "tool-flood"
    shortcut = "V"
    tip = "Flood fill by value"
    hint = (
        "Click in tissue to take what hangs together and has a value like it; with Shift it is taken away. "
        "Further clicks add up. Enter applies, Backspace takes back a click, Esc drops all."
    )
    word = "flood"
    cursor = Qt.CursorShape.PointingHandCursor

    def __init__(self, editor: Editor) -> None:
        super().__init__(editor)
        self._seeds: tuple[Seed, ...] = ()
        self._depth, self._tolerance, self._radius_mm = "slice", 25.0, 30.0

    @property
    def drawn(self) -> bool:
        """Whether there are clicks."""
        return bool(self._seeds)

    def forget(self) -> None:
        """Forget all clicks."""
        self._seeds = ()

    def take_back(self) -> None:
        """Forget the last click."""
        self._seeds = self._seeds[:-1]

    def press(self, at: Spot) -> None:
        """Flood from here too."""
        structure, session = self.editor.structure(), self.editor.session
        if structure is None or session is None or session.case.volume.value_at(at.voxel) is None:
            return
        self._seeds = (*self._seeds, Seed(at.voxel, at.plane.slice_axis, at.takes_away))
        self.ask()

    def job(self, structure: Structure, state: Snapshot) -> Job[Proposal] | None:
        """Flood from all clicks."""
        if not self._seeds:
            return None
        flat = self._depth == "slice"
        return _flooded(structure, state, self._seeds, self._tolerance, self._radius_mm, flat)

    def options(self) -> QWidget:
        """Slice or volume, tolerance, and the largest radius."""
        depth = choice_row("flood_depth", tr("Flood"), _DEPTHS, self._depth, self._set_depth)
        what = tr("How far values may lie from the one clicked on")
        tolerance = number("flood_tolerance", what, self._tolerance, (0, 5000), self._set_tolerance, "")
        tolerance.setPrefix("± ")
        what = tr("The furthest that a flood goes from its click: a leak ends there")
        radius = number("flood_radius", what, self._radius_mm, (1, 300), self._set_radius)
        return ToolOptions(self, [depth, (tr("Tolerance"), tolerance), (tr("At most"), radius)])

    def _set_depth(self, depth: str) -> None:
        self._depth = depth
        self.ask_soon()

    def _set_tolerance(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self.ask_soon()

    def _set_radius(self, mm: float) -> None:
        self._radius_mm = mm
        self.ask_soon()

    def draw(self, sketch: Sketch) -> None:
        """A cross at each click on this slice."""
        super().draw(sketch)
        plane = sketch.plane
        for seed in self._seeds:
            if seed.voxel[plane.slice_axis] != sketch.slice:
                continue
            at = sketch.point((seed.voxel[plane.vertical_axis], seed.voxel[plane.horizontal_axis]))
            for pen in (QPen(_SHADOW, 4), QPen(QColor(255, 255, 255), 1.6)):
                sketch.painter.setPen(pen)
                sketch.painter.drawLine(at.x() - 6, at.y(), at.x() + 6, at.y())
                if not seed.away:
                    sketch.painter.drawLine(at.x(), at.y() - 6, at.x(), at.y() + 6)


def _flooded(
    structure: Structure, state: Snapshot, seeds: Sequence[Seed], tolerance: float, radius_mm: float, flat: bool
) -> Job[Proposal]:
    mask, stopped, volume = structure.mask, False, state.case.volume
    for seed in seeds:
        yield Progress(0, 0)
        found = flood(volume, seed.voxel, tolerance, radius_mm=radius_mm, slice_axis=seed.slice_axis if flat else None)
        mask = mask.write(*stamp(mask, found.patch, erase=seed.away))
        stopped = stopped or found.stopped
    return Proposal(mask, f"Ends at {radius_mm:g} mm: it may leak." if stopped else "")


class RangeTool(ProposingTool):
    """Takes a range of values within a region that is drawn."""

    id = "range"
    text = "Range"
    icon = "tool-range"
    shortcut = "T"
    tip = "A range of values in a region"
    hint = (
        "Drag a box, or draw round a region: its voxels with values in the range are taken, with Shift taken away. "
        "Change the numbers and see. Enter applies, Esc drops."
    )
    word = "range"

    def __init__(self, editor: Editor) -> None:
        super().__init__(editor)
        self._regions: tuple[Prompt, ...] = ()
        self._drawing: Prompt | None = None
        self._shape: Kind = "box"
        self._low, self._high, self._depth_mm = 100.0, 3000.0, 0.0

    @property
    def drawn(self) -> bool:
        """Whether there is a region, or one is being drawn."""
        return bool(self._regions) or self._drawing is not None

    def forget(self) -> None:
        """Forget the regions."""
        self._regions, self._drawing = (), None

    def take_back(self) -> None:
        """Forget the last region."""
        self._regions = self._regions[:-1]
        self.editor.redraw()

    def press(self, at: Spot) -> None:
        """Begin a region."""
        if self.editor.structure() is not None:
            self._drawing = Prompt(self._shape, not at.takes_away, at.plane.slice_axis, (on_slice(at),))

    def move(self, at: Spot) -> None:
        """Go on with it."""
        drawing = self._drawing
        if drawing is None or at.plane.slice_axis != drawing.slice_axis:
            return
        last = drawing.points[-1]
        far = at.distance_px((last[at.plane.vertical_axis], last[at.plane.horizontal_axis])) >= _LEAST_PX
        points = (drawing.points[0],) if drawing.kind == "box" else drawing.points
        if drawing.kind == "box" or far:
            self._drawing = Prompt(drawing.kind, drawing.inside, drawing.slice_axis, (*points, on_slice(at)))
        self.editor.redraw()

    def release(self, at: Spot) -> None:
        """The region is whole."""
        drawing, self._drawing = self._drawing, None
        if drawing is not None and len(drawing.points) >= (2 if drawing.kind == "box" else 3):
            self._regions = (*self._regions, drawing)
            self.ask()
        self.editor.redraw()

    def job(self, structure: Structure, state: Snapshot) -> Job[Proposal] | None:
        """Take the range in all regions."""
        if not self._regions:
            return None
        return _ranged(structure, state, self._regions, (self._low, self._high), self._depth_mm)

    def options(self) -> QWidget:
        """The shape of the region, the range, and the region's depth."""
        shape = choice_row("range_shape", tr("Region"), _SHAPES, self._shape, self._set_shape)
        ends = (-32768, 32767)
        low = number("range_low", tr("Lowest value"), self._low, ends, self._set_low, "")
        high = number("range_high", tr("Highest value"), self._high, ends, self._set_high, "")
        what = tr("How far the region reaches to either side of the slice")
        depth = number("range_depth", what, self._depth_mm, (0, 500), self._set_depth)
        return ToolOptions(self, [shape, (tr("From"), low), (tr("To"), high), (tr("Depth"), depth)])

    def _set_shape(self, shape: str) -> None:
        self._shape = shape  # type: ignore[assignment]

    def _set_low(self, value: float) -> None:
        self._low = value
        self.ask_soon()

    def _set_high(self, value: float) -> None:
        self._high = value
        self.ask_soon()

    def _set_depth(self, mm: float) -> None:
        self._depth_mm = mm
        self.ask_soon()

    def draw(self, sketch: Sketch) -> None:
        """The regions on this slice."""
        super().draw(sketch)
        pens = (QPen(_SHADOW, 3), QPen(sketch.colour, 1.4, Qt.PenStyle.DotLine))
        for region in (*self._regions, *([self._drawing] if self._drawing is not None else [])):
            if region.slice_axis == sketch.plane.slice_axis and region.slice_index == sketch.slice:
                draw_area(sketch, region, pens)


def _ranged(
    structure: Structure, state: Snapshot, regions: Sequence[Prompt], limits: tuple[float, float], depth_mm: float
) -> Job[Proposal]:
    mask, volume = structure.mask, state.case.volume
    for region in regions:
        yield Progress(0, 0)
        area = slab(footprint(region, volume.grid), volume, region.slice_axis, depth_mm)
        if area[1].size:
            mask = mask.write(*stamp(mask, between(volume, area, *limits), erase=not region.inside))
    return Proposal(mask)
