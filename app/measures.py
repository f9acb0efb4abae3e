"""How much two masks differ, and how big one is. All in the tight boxes of the masks, in mm, mm² and ml.

`compare` gives every figure at once; the other functions compute one figure and only what it needs.

Surfaces are those of `contourdesk.app.surfels`, so the surface figures are those of DeepMind's `surface-distance`
(compute_surface_dice_at_tolerance and so on), also on sheared and oblique grids, which that package does not know.

Where masks are empty: two empty masks agree (Dice and surface Dice 1, all distances 0). If one of them is empty, Dice
and surface Dice are 0 and all distances infinite. The added path is then the whole outline of the reference, or 0 if it
is the reference that is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from contourdesk.app.geometry import Box, Float, Grid
from contourdesk.app.nearest import Index, nearest_mm
from contourdesk.app.structures import Bits, Mask
from contourdesk.app.surfels import Codes, cell_areas, cell_steps, surface_cells

_BLOCK = 1 << 18  # voxels whose outline is looked for at a time; they stay in the processor's cache
_THREADS = 1 << 20  # voxels from which on a second thread pays


@dataclass(frozen=True)
class Comparison:
    """All figures on a mask that is compared with a reference.

    Parameters
    ----------
    reference_ml, other_ml : volumes, see `volume_ml`.
    dice : 0 to 1, see `dice`.
    tolerance_mm : the tolerance of `surface_dice`.
    surface_dice : 0 to 1, see `SurfaceDistances.dice`.
    hd95_mm, hausdorff_mm : 95 % and largest Hausdorff distance, see `SurfaceDistances.hausdorff_mm`.
    mean_surface_distance_mm : see `SurfaceDistances.mean_mm`.
    path_mm : length of the reference's outline over all slices; the added path is a part of it.
    added_path_mm : see `added_path_length_mm`.
    """

    reference_ml: float
    other_ml: float
    dice: float
    tolerance_mm: float
    surface_dice: float
    hd95_mm: float
    hausdorff_mm: float
    mean_surface_distance_mm: float
    path_mm: float
    added_path_mm: float

    @property
    def volume_change_ml(self) -> float:
        """How much larger the other one is than the reference, ml; negative if it is smaller."""
        return self.other_ml - self.reference_ml

    @property
    def volume_change_percent(self) -> float:
        """The same in per cent of the reference; infinite if only the reference is empty."""
        if self.reference_ml == 0:
            return 0.0 if self.other_ml == 0 else float("inf")
        return 100 * self.volume_change_ml / self.reference_ml


def compare(reference: Mask, other: Mask, grid: Grid, *, tolerance_mm: float = 3.0) -> Comparison:
    """Every figure on `other` (a proposal, say), measured against `reference` (what the reviewer made of it).

    Dice, surface Dice and distances do not change when the two are exchanged; the change of volume and the added path
    do.
    """
    surfaces = surface_distances(reference, other, grid)
    path, added = _path_pixels(reference, other)
    pixel_mm = _pixel_mm(grid)
    return Comparison(
        reference_ml=volume_ml(reference, grid),
        other_ml=volume_ml(other, grid),
        dice=dice(reference, other),
        tolerance_mm=tolerance_mm,
        surface_dice=surfaces.dice(tolerance_mm),
        hd95_mm=surfaces.hausdorff_mm(95),
        hausdorff_mm=surfaces.hausdorff_mm(100),
        mean_surface_distance_mm=surfaces.mean_mm(),
        path_mm=path * pixel_mm,
        added_path_mm=added * pixel_mm,
    )


def volume_ml(mask: Mask, grid: Grid) -> float:
    """Volume in millilitres: voxels set times voxel volume. Nothing is smoothed or cut at the outline."""
    return mask.count * grid.voxel_ml


def dice(a: Mask, b: Mask) -> float:
    """Twice the voxels in both, over the sum of the voxels in each; 0 to 1.

    L. R. Dice, "Measures of the amount of ecologic association between species" (1945), on voxels.
    """
    total = a.count + b.count
    return 2 * _common(a, b) / total if total else 1.0


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Surface elements of two masks: distance in mm to the other surface, and area in mm²; both sorted by distance."""

    a_mm: Float
    a_area: Float
    b_mm: Float
    b_area: Float

    def hausdorff_mm(self, percent: float = 95) -> float:
        """The larger of the two directed distances that `percent` of a surface's area does not exceed, mm.

        With 95 it is the HD95 of Nikolov et al. (weighted by area; not the percentile over points, nor over both
        surfaces in one, which others call HD95); with 100 the Hausdorff distance, between the middles of surface cells.
        """
        return max(_percentile(d, w, percent) for d, w in ((self.a_mm, self.a_area), (self.b_mm, self.b_area)))

    def directed_means_mm(self) -> tuple[float, float]:
        """Mean distance over the area of the first surface to the second one, and back, mm."""
        if (self.a_mm.size == 0) != (self.b_mm.size == 0):
            return float("inf"), float("inf")
        return _mean(self.a_mm, self.a_area), _mean(self.b_mm, self.b_area)

    def mean_mm(self) -> float:
        """Average symmetric surface distance: the mean over the area of both surfaces taken together, mm.

        T. Heimann et al., "Comparison and evaluation of methods for liver segmentation from CT datasets" (2009), with
        surface elements weighted by their area. The larger surface counts for more; the mean of `directed_means_mm`
        is another measure.
        """
        return _mean(np.concatenate([self.a_mm, self.b_mm]), np.concatenate([self.a_area, self.b_area]))

    def dice(self, tolerance_mm: float) -> float:
        """Surface Dice: share of the area of both surfaces within `tolerance_mm` of the other surface; 0 to 1.

        Nikolov et al. (2018). Exactly at the tolerance is within it.
        """
        area = self.a_area.sum() + self.b_area.sum()
        near = self.a_area[self.a_mm <= tolerance_mm].sum() + self.b_area[self.b_mm <= tolerance_mm].sum()
        return float(near / area) if area else 1.0


def surface_distances(a: Mask, b: Mask, grid: Grid, *, up_to_mm: float = float("inf")) -> SurfaceDistances:
    """Distances between the surfaces of two masks; compute once, then ask for the measures.

    Those over `up_to_mm` are not looked for, and infinite.
    """
    steps = cell_steps(grid)

    def side(cells: Index, codes: Codes, others: Index) -> tuple[Float, Float]:
        mm, area = nearest_mm(cells, others, steps, up_to_mm), cell_areas(steps)[codes]
        order = np.lexsort((area, mm))
        return mm[order], area[order]

    def sides(each: Callable[..., Iterable[Any]]) -> SurfaceDistances:
        (cells_a, codes_a), (cells_b, codes_b) = each(surface_cells, (a, b))
        there, back = each(side, (cells_a, cells_b), (codes_a, codes_b), (cells_b, cells_a))
        return SurfaceDistances(*there, *back)

    if min(a.bits.size, b.bits.size) <= _THREADS:
        return sides(map)
    with ThreadPoolExecutor(2) as pool:  # numpy lets go of the interpreter in its loops
        return sides(pool.map)


def hd95_mm(a: Mask, b: Mask, grid: Grid) -> float:
    """95 % Hausdorff distance in mm, see `SurfaceDistances.hausdorff_mm`."""
    return surface_distances(a, b, grid).hausdorff_mm(95)


def mean_surface_distance_mm(a: Mask, b: Mask, grid: Grid) -> float:
    """Average symmetric surface distance in mm, see `SurfaceDistances.mean_mm`."""
    return surface_distances(a, b, grid).mean_mm()


def surface_dice(a: Mask, b: Mask, grid: Grid, tolerance_mm: float) -> float:
    """Surface Dice at a tolerance, see `SurfaceDistances.dice`."""
    return surface_distances(a, b, grid, up_to_mm=tolerance_mm).dice(tolerance_mm)


def added_path_length_mm(final: Mask, proposal: Mask, grid: Grid) -> float:
    """Length of outline that a reviewer had to draw to turn `proposal` into `final`, mm.

    Slice by slice (array axis 0), the outline voxels of `final` (set, with an unset neighbour above, below, left or
    right) that are no outline voxels of `proposal`, times the mean pixel spacing. F. Vaassen et al., "Evaluation of
    measures for assessing time-saving of automatic organ-at-risk segmentation in radiotherapy" (2020), where pixels are
    square and no tolerance is given. What was only taken away, a whole slice for example, adds nothing.
    """
    return _path_pixels(final, proposal)[1] * _pixel_mm(grid)


def _pixel_mm(grid: Grid) -> float:
    return sum(grid.spacing_mm[1:]) / 2


def _path_pixels(final: Mask, proposal: Mask) -> tuple[int, int]:
    """Outline voxels of `final`, and how many of them are none of `proposal`."""
    z, y, x = final.tight.box
    if x.start == x.stop:
        return 0, 0
    step = max(1, _BLOCK // ((y.stop - y.start) * (x.stop - x.start)))
    path = added = 0
    for first in range(z.start, z.stop, step):
        box = slice(first, min(first + step, z.stop)), y, x
        outline = _outline(final, box)
        path += int(np.count_nonzero(outline))
        added += int(np.count_nonzero(outline > _outline(proposal, box)))  # set, and not set
    return path, added


def _outline(mask: Mask, box: Box) -> Bits:
    """Outline voxels of each slice within `box`. The edge of the scan counts as unset."""
    wider = (box[0], slice(box[1].start - 1, box[1].stop + 1), slice(box[2].start - 1, box[2].stop + 1))
    bits = mask.read(wider)
    inner = bits[:, :-2, 1:-1] & bits[:, 2:, 1:-1]
    inner &= bits[:, 1:-1, :-2]
    inner &= bits[:, 1:-1, 2:]
    out: Bits = bits[:, 1:-1, 1:-1] > inner
    return out


def _common(a: Mask, b: Mask) -> int:
    """Number of voxels set in both."""
    low = [max(p.start, q.start) for p, q in zip(a.box, b.box, strict=True)]
    high = [min(p.stop, q.stop) for p, q in zip(a.box, b.box, strict=True)]
    if any(h <= lo for lo, h in zip(low, high, strict=True)):
        return 0
    part_a, part_b = (
        m.bits[tuple(slice(lo - o, h - o) for lo, h, o in zip(low, high, m.offset, strict=True))] for m in (a, b)
    )
    return int(np.count_nonzero(part_a & part_b))


def _mean(mm: Float, area: Float) -> float:
    return float(mm @ area / area.sum()) if mm.size else 0.0


def _percentile(mm: Float, area: Float, percent: float) -> float:
    if mm.size == 0:
        return 0.0
    share = np.cumsum(area) / area.sum()
    return float(mm[min(int(np.searchsorted(share, percent / 100)), mm.size - 1)])
