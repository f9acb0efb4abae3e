"""Surface elements of voxel masks, their areas, and the distance from each to the nearest of another mask.

A surface element lies in the middle of a cell of eight voxel centres that are not all on one side; its area is that
of the triangles that marching cubes puts into the cell at the level 0.5. This is the surface of S. Nikolov et al.,
"Deep learning to achieve clinically applicable segmentation of head and neck anatomy for radiotherapy" (2018,
arXiv:1809.04430; J Med Internet Res 2021), and of DeepMind's package `surface-distance`: published surface Dice values
go by it. The edge of the scan counts as unset.

Where both have a cell the distance is 0; the other cells ask a k-d tree. The distances are then computed from the whole
numbers of steps between two cells, so that three steps of 0.9 mm are 2.7 mm and not a rounding error more.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contourdesk.app.geometry import Float, Grid
from contourdesk.app.structures import Mask, tight_box

Index = NDArray[np.int64]
Codes = NDArray[np.uint8]

# For cell codes 1 to 127: what the triangles of the cell span along (z, y, x), in eighths of a face of the cell, three
# letters each ("e" is 0, "f" 1, "d" -1); parallel ones are added up. Codes are numbered as in `surface_cells`. 255 - n
# has the surface of n. Made with W. E. Lorensen and H. E. Cline's cases (1987) as scikit-image has them, where the
# fewer corners are set; tests/test_surfels.py makes it anew.
_AREA_VECTORS = """
fff ffd iie fdf iei fdfffd hhhiee fdd ffffdd iea hhbiee iae hbhiee hbbiee mee fdd eii fddffd hhheie fddfdf
hhheei fdffddffd kkk gcc eiifdd ieafdd eggiiageg iaefdd eggiaigge iaaiee hhhiee fdf fdffff eia hhbeie gcg ieifdf
eiafdf geciiiegc fddfdf fdffddfff hhbeei kk_ iaefdf iaiiee gceiiaegg hhbiee iae hbbeie hbheie eme iaefdf
gegiaagge iaieie hhheie iaefdd iaaeie ggeiaigec hhbeie m]e iieffd iiefff iie ffd ffdfff ggc iieffd eia hbheei
eiaffd gceiiiegc ffdfdd ffdffffdd ieaffd iiaiee hbheie k_k gegiaaegc hbhiee iea hbbeei ieaffd gceiiigec hhbeei
eem iiaeei hhheei ieafdd iaaeei me] ieifdf gegiiagce hbheei ieifff iei ffdfdf ffdfdffff eiaffd iiaeie eiafdf
iaieei em] eiifdd ffdfddfdf ffdfddfdffff iiaeei ffffddfdf iaieie fddfffffd eiifff ffffdd hbbiee k__ eggiaigec
hbbeie egciaagge hbbeei eiifff eii iaaiee ffffdfffd ieifff fdffff iiefff fffffd ggg fff
"""
_BLOCK = 1 << 18  # voxels that are worked on at a time; they stay in the processor's cache
_PARALLEL = 20_000  # points from which on threads pay
_LEAF = 40  # found by trying; nearly equidistant surfaces profit from leaves larger than scipy's 10


def surface_cells(mask: Mask) -> tuple[Index, Codes]:
    """Cells that the surface of a mask runs through, and which of their corners are set.

    Returns
    -------
    (n, 3) index of the cell between voxel i - 1 and voxel i along (z, y, x), in the grid's numbering, in array order;
    (n,) uint8 code with bit 7 for the corner (z - 1, y - 1, x - 1), bit 6 for (z - 1, y - 1, x), ... bit 0 for
    (z, y, x).
    """
    tight = tight_box(mask.bits)
    if tight is None:
        return np.zeros((0, 3), np.int64), np.zeros(0, np.uint8)
    z, y, x = (slice(s.start + o - 1, s.stop + o + 1) for s, o in zip(tight, mask.offset, strict=True))
    size = (y.stop - y.start - 1) * (x.stop - x.start - 1)
    step = max(1, _BLOCK // size)
    where, codes = [], []
    for first in range(z.start, z.stop - 1, step):
        bits = mask.read((slice(first, min(first + step + 1, z.stop)), y, x)).view(np.uint8)
        code = (bits[:, :, :-1] << 1) | bits[:, :, 1:]
        code = (code[:, :-1] << 2) | code[:, 1:]
        code = ((code[:-1] << 4) | code[1:]).ravel()
        found = np.flatnonzero((code - np.uint8(1)) < 254)  # neither 0 nor 255: 0 - 1 wraps round
        codes.append(code[found])
        where.append(found + (first - z.start) * size)
    shape = tuple(s.stop - s.start - 1 for s in (z, y, x))
    index = np.stack(np.unravel_index(np.concatenate(where), shape), axis=1)
    index += np.array([z.start + 1, y.start + 1, x.start + 1])
    return index, np.concatenate(codes)


def cell_steps(grid: Grid) -> Float:
    """(3, 3): column i is the step along array axis i in mm, in axes of the array's own where these are orthogonal."""
    steps = grid.affine[:3, :3]
    spacing = np.array(grid.spacing_mm)
    skew = np.abs(steps.T @ steps - np.diag(spacing**2)).max()
    return np.diag(spacing) if skew <= 1e-9 * float((spacing**2).max()) else np.array(steps)


def cell_areas(steps: Float) -> Float:
    """(256,) area in mm² of the surface in a cell, by its code; `steps` as of `cell_steps`."""
    return _cell_areas(tuple(float(v) for v in steps.ravel()))


@cache
def _cell_areas(steps: tuple[float, ...]) -> Float:
    z, y, x = np.array(steps).reshape(3, 3).T
    faces = np.stack([np.cross(y, x), np.cross(x, z), np.cross(z, y)]) / 8
    half = np.zeros(128)
    for code, letters in enumerate(_AREA_VECTORS.split(), start=1):
        vectors = np.array([ord(c) - ord("e") for c in letters], float).reshape(-1, 3)
        half[code] = np.linalg.norm(vectors @ faces, axis=1).sum()
    areas = np.concatenate([half, half[::-1]])
    areas.setflags(write=False)
    return areas


def nearest_mm(cells: Index, others: Index, steps: Float, up_to_mm: float = np.inf) -> Float:
    """Distance in mm from each cell (n, 3) to the nearest of the others; infinite where that is over `up_to_mm`.

    Both in array order without repeats, as `surface_cells` returns them.
    """
    out = np.full(len(cells), np.inf)
    if len(cells) == 0 or len(others) == 0:
        return out
    same = _found(cells, others)
    out[same] = 0.0
    far = np.flatnonzero(~same)
    if far.size == 0:
        return out
    tree = cKDTree(others @ steps.T, leafsize=_LEAF, balanced_tree=False, compact_nodes=False)
    wanted = cells[far]
    # A little more than asked for, since the tree rounds; what is too far is dropped below.
    _, hit = tree.query(
        wanted @ steps.T, distance_upper_bound=up_to_mm * (1 + 1e-9), workers=-1 if far.size > _PARALLEL else 1
    )
    near = hit < len(others)
    dz, dy, dx = ((wanted[near] - others[hit[near]]) @ steps.T).T
    mm = np.sqrt(dz * dz + dy * dy + dx * dx)
    out[far[near]] = np.where(mm <= up_to_mm, mm, np.inf)
    return out


def _found(cells: Index, others: Index) -> NDArray[np.bool_]:
    """Which of the cells are among the others."""
    low = np.minimum(cells.min(axis=0), others.min(axis=0))
    _, rows, columns = np.maximum(cells.max(axis=0), others.max(axis=0)) - low + 1
    number = np.array([rows * columns, columns, 1])
    wanted, there = (cells - low) @ number, (others - low) @ number  # ascending, as both are in array order
    at = np.searchsorted(there, wanted)
    at[at == len(there)] = 0
    out: NDArray[np.bool_] = there[at] == wanted
    return out
