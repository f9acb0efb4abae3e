"""How much two masks differ, and how big one is. All on the box round both masks, in mm and ml.

Surfaces are those of S. Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck
anatomy" (2018), which published surface Dice values use: a surface element lies between eight voxel centres that are
not all on one side, and counts with the area that the 0.5 level has there (marching cubes; sheets that bend within one
such cube count as flat). Distances run from element to nearest element, on sheared and oblique grids too.

Where a mask is empty: two empty masks agree (Dice 1, distance 0); if one is empty, the Dice is 0 and the distance
infinite.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from contourdesk.app.geometry import Box, Float, Grid
from contourdesk.app.structures import Bits, Mask

_CUBE = list(np.ndindex(2, 2, 2))


def volume_ml(mask: Mask, grid: Grid) -> float:
    """Volume in millilitres: voxels set times voxel volume."""
    return mask.count * grid.voxel_ml


def dice(a: Mask, b: Mask) -> float:
    """Twice the voxels in both, over the sum of the voxels in each; 0 to 1."""
    total = a.count + b.count
    return 2 * int(np.count_nonzero(a.bits & b.read(a.box))) / total if total else 1.0


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Surface elements of two masks: distance in mm to the other surface, and area in mm²; both sorted by distance."""

    a_mm: Float
    a_area: Float
    b_mm: Float
    b_area: Float

    def hausdorff_mm(self, percent: float = 95) -> float:
        """The larger of the two directed distances that `percent` of a surface's area does not exceed, mm."""
        return max(_percentile(d, w, percent) for d, w in ((self.a_mm, self.a_area), (self.b_mm, self.b_area)))

    def mean_mm(self) -> float:
        """Mean distance over the area of both surfaces, mm."""
        area = self.a_area.sum() + self.b_area.sum()
        if area == 0:
            return 0.0
        if self.a_area.size == 0 or self.b_area.size == 0:
            return float("inf")
        return float((self.a_mm @ self.a_area + self.b_mm @ self.b_area) / area)

    def dice(self, tolerance_mm: float) -> float:
        """Share of the area of both surfaces that lies within `tolerance_mm` of the other surface; 0 to 1."""
        area = self.a_area.sum() + self.b_area.sum()
        near = self.a_area[self.a_mm <= tolerance_mm].sum() + self.b_area[self.b_mm <= tolerance_mm].sum()
        return float(near / area) if area else 1.0


def surface_distances(a: Mask, b: Mask, grid: Grid) -> SurfaceDistances:
    """Distances between the surfaces of two masks; compute once, then ask for the measures."""
    points_a, area_a = _surface(a, grid)
    points_b, area_b = _surface(b, grid)
    a_mm, b_mm = _nearest(points_a, points_b), _nearest(points_b, points_a)
    order_a, order_b = np.argsort(a_mm, kind="stable"), np.argsort(b_mm, kind="stable")
    return SurfaceDistances(a_mm[order_a], area_a[order_a], b_mm[order_b], area_b[order_b])


def hd95_mm(a: Mask, b: Mask, grid: Grid) -> float:
    """95 % Hausdorff distance, see `SurfaceDistances.hausdorff_mm`."""
    return surface_distances(a, b, grid).hausdorff_mm(95)


def mean_surface_distance_mm(a: Mask, b: Mask, grid: Grid) -> float:
    """Mean symmetric surface distance, see `SurfaceDistances.mean_mm`."""
    return surface_distances(a, b, grid).mean_mm()


def surface_dice(a: Mask, b: Mask, grid: Grid, tolerance_mm: float) -> float:
    """Surface Dice at a tolerance, see `SurfaceDistances.dice`."""
    return surface_distances(a, b, grid).dice(tolerance_mm)


def added_path_length_mm(final: Mask, proposal: Mask, grid: Grid) -> float:
    """Length of outline that a reviewer had to draw to turn `proposal` into `final`, mm.

    Slice by slice (array axis 0), the outline voxels of `final` (set, with an unset neighbour above, below, left or
    right) that are no outline voxels of `proposal`, times the mean pixel spacing: F. Vaassen et al. (2020).
    """
    if final.is_empty:
        return 0.0
    new = _outline(final, final.box) & ~_outline(proposal, final.box)
    return float(np.count_nonzero(new) * np.mean(grid.spacing_mm[1:]))


def _outline(mask: Mask, box: Box) -> Bits:
    """Outline voxels of each slice within `box`. The edge of the scan counts as unset."""
    wider = (box[0], slice(box[1].start - 1, box[1].stop + 1), slice(box[2].start - 1, box[2].stop + 1))
    bits = mask.read(wider)
    cross = ndimage.generate_binary_structure(3, 1)
    cross[[0, 2], 1, 1] = False
    out: Bits = (bits & ~ndimage.binary_erosion(bits, cross))[:, 1:-1, 1:-1]
    return out


def _percentile(mm: Float, area: Float, percent: float) -> float:
    if mm.size == 0:
        return 0.0
    share = np.cumsum(area) / area.sum()
    return float(mm[min(int(np.searchsorted(share, percent / 100)), mm.size - 1)])


def _nearest(points: Float, others: Float) -> Float:
    if len(others) == 0:
        return np.full(len(points), np.inf)
    return np.asarray(cKDTree(others).query(points)[0]) if len(points) else np.zeros(0)


def _surface(mask: Mask, grid: Grid) -> tuple[Float, Float]:
    """Surface elements: LPS mm (n, 3) and area in mm² (n,). What lies outside the scan counts as unset."""
    if mask.is_empty:
        return np.zeros((0, 3)), np.zeros(0)
    padded = np.pad(mask.bits, 1)
    shape = tuple(n - 1 for n in padded.shape)
    code = np.zeros(shape, np.uint8)
    for bit, corner in enumerate(_CUBE):
        part = padded[tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))]
        code |= part.astype(np.uint8) << bit
    where = np.nonzero((code != 0) & (code != 255))
    index = np.stack(where, axis=1) + np.array(mask.offset) - 0.5
    steps = tuple(float(v) for v in grid.affine[:3, :3].ravel())
    return grid.to_world(index), _areas(steps)[code[where]]


@cache
def _areas(steps: tuple[float, ...]) -> NDArray[np.float64]:
    """Area in mm² of the 0.5 level for each of the 256 ways to set the corners of a cell with edges `steps` (3, 3)."""
    z, y, x = np.array(steps).reshape(3, 3).T
    faces = np.stack([np.cross(y, x), np.cross(x, z), np.cross(z, y)])  # area vectors of the cell's faces
    out = np.zeros(256)
    for code in range(1, 255):
        cell = np.array([code >> bit & 1 for bit in range(8)], bool).reshape(2, 2, 2)
        sheets, count = ndimage.label(cell)
        if count == 1:
            sheets, count = ndimage.label(~cell)
        out[code] = sum(_sheet_area(sheets == n, faces) for n in range(1, count + 1))
    return out


def _sheet_area(corners: Bits, faces: Float) -> float:
    """Area of the sheet that cuts these corners off: what flows through the cell's faces flows through the sheet."""
    flow = np.zeros(3)
    for axis in range(3):
        near, far = (_set_share(int(corners.take(side, axis).sum())) for side in (0, 1))
        flow += (far - near) * faces[axis]
    return float(np.linalg.norm(flow))


def _set_share(count: int) -> float:
    """How much of a face lies behind a level that crosses its edges at their middle, by the number of its corners."""
    return (0.0, 1 / 8, 1 / 2, 7 / 8, 1.0)[count]
