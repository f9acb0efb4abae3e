"""Operations on a whole structure, for menus and panels: one list with names, fields and functions.

Each takes the structure's mask and what is round it and gives the new mask; nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from contourdesk.app import edits
from contourdesk.app.checks_sides import midline_x
from contourdesk.app.edits_image import body, copy_slice, keep_slices, mirror, remove_islands, threshold
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.history import Index
from contourdesk.app.jobs import Job, Progress, run
from contourdesk.app.margins import Margins, margin
from contourdesk.app.seeds import grow_from_seeds
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

Value = float | str


@dataclass(frozen=True)
class Field:
    """A number to ask for, with its unit, or another structure (`kind` "structure", the value is its id)."""

    key: str
    label: str
    kind: Literal["mm", "ml", "value", "structure"]
    default: float = 0.0
    low: float = 0.0
    high: float = 100.0


@dataclass(frozen=True, eq=False)
class Scene:
    """What an operation may look at: the image, the other structures, and the slice that the reviewer looks at.

    `slice_axis` is the array axis across the shown plane, `cross` the voxel (z, y, x) of the crosshair; `hidden` are
    the ids of structures that aren't shown.
    """

    volume: Volume
    others: Mapping[str, Mask]
    cross: Index
    slice_axis: int
    hidden: frozenset[str] = frozenset()

    @property
    def grid(self) -> Grid:
        """The grid of all masks."""
        return self.volume.grid

    def other(self, values: Mapping[str, Value]) -> Mask:
        """The mask of the structure that was chosen."""
        mask = self.others.get(str(values.get("other", "")))
        if mask is None:
            raise UserError("No other structure is chosen.", "Choose one.")
        return mask

    def beside(self, upwards: bool) -> int:
        """The next slice towards the head, left or back (`upwards`), or to the other side."""
        sense = self.grid.world_axes[self.slice_axis][1]
        k = self.cross[self.slice_axis] + (sense if upwards else -sense)
        if not 0 <= k < self.grid.shape[self.slice_axis]:
            raise UserError("There is no slice further on.", "Choose the other direction.")
        return k


_Function = Callable[[Mask, Scene, Mapping[str, Value]], Mask]


@dataclass(frozen=True)
class Operation:
    """One operation: `tip` says in a sentence what it does."""

    id: str
    text: str
    tip: str
    function: _Function
    fields: tuple[Field, ...] = ()


def apply(operation: Operation, mask: Mask, scene: Scene, values: Mapping[str, Value]) -> Job[Mask]:
    """Job: the new mask. Raises UserError for values that make no sense."""
    yield Progress(0, 0, operation.text)
    numbers = {f.key: float(values.get(f.key, f.default)) for f in operation.fields if f.kind != "structure"}
    return operation.function(mask, scene, {**values, **numbers})


def _number(values: Mapping[str, Value], key: str) -> float:
    return float(values[key])


def _grow(mask: Mask, scene: Scene, v: Mapping[str, Value]) -> Mask:
    mm = _number(v, "mm")
    return edits.grow(mask, scene.grid, mm) if mm >= 0 else edits.shrink(mask, scene.grid, -mm)


def _margin(mask: Mask, scene: Scene, v: Mapping[str, Value]) -> Mask:
    return margin(mask, scene.grid, Margins(**{d: _number(v, d) for d in _DIRECTIONS}))


def _with_room(other: Mask, scene: Scene, v: Mapping[str, Value]) -> Mask:
    return edits.grow(other, scene.grid, _number(v, "mm"))


def _crop_to_body(mask: Mask, scene: Scene, v: Mapping[str, Value]) -> Mask:
    inside = body(scene.volume)
    return edits.intersect(mask, edits.shrink(inside, scene.grid, _number(v, "mm")))


def _copy(upwards: bool) -> _Function:
    def copy(mask: Mask, scene: Scene, _: Mapping[str, Value]) -> Mask:
        return copy_slice(mask, scene.slice_axis, scene.beside(upwards), scene.cross[scene.slice_axis])

    return copy


def _cut(upwards: bool) -> _Function:
    def cut(mask: Mask, scene: Scene, _: Mapping[str, Value]) -> Mask:
        k, n = scene.cross[scene.slice_axis], scene.grid.shape[scene.slice_axis]
        up_is_more = scene.grid.world_axes[scene.slice_axis][1] > 0
        return keep_slices(mask, scene.slice_axis, *((0, k) if upwards == up_is_more else (k, n - 1)))

    return cut


def _mirror(_: Mask, scene: Scene, v: Mapping[str, Value]) -> Mask:
    other = scene.other(v)
    x = midline_x(other, scene.volume)
    if x is None:
        raise UserError("The middle of the body can't be found in this image.", "Draw the structure by hand.")
    return mirror(other, scene.grid, x)


def _grow_from_seeds(mask: Mask, scene: Scene, v: Mapping[str, Value]) -> Mask:
    shown = [other for key, other in scene.others.items() if key not in scene.hidden]
    job = grow_from_seeds(mask, shown, scene.volume, reach_mm=_number(v, "mm"), smooth_mm=_number(v, "smooth"))
    return run(job)


def _range_in(mask: Mask, scene: Scene, v: Mapping[str, Value]) -> Mask:
    other = scene.other(v)
    return edits.union(mask, threshold(other, scene.volume, _number(v, "low"), _number(v, "high")))


_DIRECTIONS = ("right", "left", "anterior", "posterior", "inferior", "superior")
_OTHER = Field("other", "Structure", "structure")

OPERATIONS: tuple[Operation, ...] = (
    Operation("grow", "Grow or shrink", "The same margin on all sides; a negative one shrinks.", _grow,
              (Field("mm", "Margin", "mm", 3, -50, 50),)),
    Operation("margin", "Margin by direction", "A margin of its own on each side of the patient; negative ones shrink.",
              _margin, tuple(Field(d, d.capitalize(), "mm", 0, -50, 50) for d in _DIRECTIONS)),
    Operation("smooth", "Smooth", "Smooth the surface; the volume stays about the same.",
              lambda m, s, v: edits.smooth(m, s.grid, _number(v, "mm")), (Field("mm", "Strength", "mm", 2, 0.5, 20),)),
    Operation("interpolate", "Fill gaps between slices",
              "Draw on some slices of the shown plane; the empty ones between them are filled.",
              lambda m, s, _: edits.interpolate(m, s.grid, s.slice_axis)),
    Operation("copy_up", "Copy from the slice above", "This slice becomes like the next to head, left or back.",
              _copy(True)),
    Operation("copy_down", "Copy from the slice below", "This slice becomes like the next to feet, right or front.",
              _copy(False)),
    Operation("cut_up", "Cut off above this slice", "Takes away all towards head, left or back of the shown slice.",
              _cut(True)),
    Operation("cut_down", "Cut off below this slice", "Takes away all towards feet, right or front of the shown slice.",
              _cut(False)),
    Operation("largest", "Keep the largest part", "Takes away all parts but the largest.",
              lambda m, _s, _v: edits.keep_largest(m)),
    Operation("islands", "Remove small parts", "Takes away separate parts smaller than a volume.",
              lambda m, s, v: remove_islands(m, s.grid, _number(v, "ml")),
              (Field("ml", "Smaller than", "ml", 0.5, 0, 1000),)),
    Operation("holes", "Fill holes", "Fills holes on each slice of the shown plane.",
              lambda m, s, _: edits.fill_holes(m, s.slice_axis)),
    Operation("threshold", "Keep a range of values", "Keeps only voxels of the structure with values in a range.",
              lambda m, s, v: threshold(m, s.volume, _number(v, "low"), _number(v, "high")),
              (Field("low", "From", "value", -100, -32768, 32767), Field("high", "To", "value", 3000, -32768, 32767))),
    Operation("range_in", "Add a range of values", "Adds the voxels of another structure with values in a range.",
              _range_in, (_OTHER, Field("low", "From", "value", 100, -32768, 32767),
                          Field("high", "To", "value", 3000, -32768, 32767))),
    Operation("seeds", "Grow from seeds",
              "What is drawn grows up to the edges of the image; the visible structures compete with it.",
              _grow_from_seeds, (Field("mm", "At most", "mm", 15, 1, 60), Field("smooth", "Smoothing", "mm", 1, 0, 5))),
    Operation("union", "Add another structure", "Adds all of another structure.",
              lambda m, s, v: edits.union(m, s.other(v)), (_OTHER,)),
    Operation("intersect", "Keep what lies in another", "Keeps only what lies in another structure.",
              lambda m, s, v: edits.intersect(m, s.other(v)), (_OTHER,)),
    Operation("subtract", "Subtract another structure", "Takes away another structure, and a margin round it.",
              lambda m, s, v: edits.subtract(m, _with_room(s.other(v), s, v)),
              (_OTHER, Field("mm", "Margin round it", "mm", 0, 0, 50))),
    Operation("body", "Crop to the body", "Takes away what lies outside the body, or near its skin.",
              _crop_to_body, (Field("mm", "Distance to the skin", "mm", 0, 0, 30),)),
    Operation("mirror", "Mirror from the other side", "Becomes the mirror image of another structure.",
              _mirror, (_OTHER,)),
)  # fmt: skip
