"""Surface elements of voxel masks, their areas, and the distance from each to the nearest of another mask.

A surface element lies in the middle of a cell of eight voxel centres that are not all on one side; its area is that
of the triangles that marching cubes puts into the cell at the level 0.5. This is the surface of S. Nikolov et al.,
"Deep learning to achieve clinically applicable segmentation of head and neck anatomy for radiotherapy" (2018,
arXiv:1809.04430; J Med Internet Res 2021), and of DeepMind's package `surface-distance`: published surface Dice values
go by it. The edge of the scan counts as unset.

Two contours of one organ mostly lie near each other. So the nearest cell is looked for by trying offsets, the shortest
first, and a k-d tree is asked for what that does not find. Either way the distance is computed from whole numbers of
steps between two cells: three steps of 0.9 mm are 2.7 mm, and not a rounding error more.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contourdesk.app.geometry import Float, Grid
from contourdesk.app.structures import Mask

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
_OFFSETS = 1000  # so many offsets are tried at most, about 6 voxels round about
_TRY = 8000  # lookups at a time at least: what numpy needs for one round apart from them
_TREE = 40  # what it costs to put a point into the tree, in lookups; to ask for one costs four times as much or more
_PARALLEL = 20_000  # points from which on threads pay
_LEAF = 64  # found by trying; nearly equidistant surfaces profit from leaves larger than scipy's 10


def surface_cells(mask: Mask) -> tuple[Index, Codes]:
    """Cells that the surface of a mask runs through, and which of their corners are set.

    Returns
    -------
    (3, n) index of the cell between voxel i - 1 and voxel i along z, y and x, in the grid's numbering, in array order;
    (n,) uint8 code with bit 7 for the corner (z - 1, y - 1, x - 1), bit 6 for (z - 1, y - 1, x), ... bit 0 for
    (z, y, x).
    """
    tight = mask.tight
    if tight.is_empty:
        return np.zeros((3, 0), np.int64), np.zeros(0, np.uint8)
    z, y, x = (slice(s.start - 1, s.stop + 1) for s in tight.box)
    size = (y.stop - y.start - 1) * (x.stop - x.start - 1)
    step = max(1, _BLOCK // size)
    where, codes = [], []
    for first in range(z.start, z.stop - 1, step):
        bits = tight.read((slice(first, min(first + step + 1, z.stop)), y, x)).view(np.uint8)
        code = (bits[:, :, :-1] << 1) | bits[:, :, 1:]
        code = (code[:, :-1] << 2) | code[:, 1:]
        code = ((code[:-1] << 4) | code[1:]).ravel()
        found = np.flatnonzero((code - np.uint8(1)) < 254)  # neither 0 nor 255: 0 - 1 wraps round
        codes.append(code[found])
        where.append(found + (first - z.start) * size)
    shape = tuple(s.stop - s.start - 1 for s in (z, y, x))
    index = np.array(np.unravel_index(np.concatenate(where), shape))
    index += np.array([[z.start + 1], [y.start + 1], [x.start + 1]])
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


@lru_cache(maxsize=16)
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
    """Distance in mm from each cell (3, n) to the nearest of the others (3, m); infinite where over `up_to_mm`."""
    out = np.full(cells.shape[1], np.inf)
    if cells.size and others.size:
        left = _look_around(cells, others, steps, up_to_mm, out)
        if left.size:
            out[left] = _ask_tree(cells[:, left], others, steps, up_to_mm)
    out[out > up_to_mm] = np.inf
    return out


def _look_around(cells: Index, others: Index, steps: Float, up_to_mm: float, out: Float) -> Index:
    """Put the distances into `out` that a try of the nearest offsets finds; return which cells still need one."""
    offsets, mm = _offsets(tuple(float(v) for v in steps.ravel()))
    reach = offsets.max(axis=1)
    low, high = others.min(axis=1) - reach, others.max(axis=1) + reach
    inside = np.ones(cells.shape[1], bool)
    for row, start, stop in zip(cells, low, high, strict=True):
        inside &= (row >= start) & (row <= stop)
    corner = low - reach  # from the rim of the box one looks out by `reach` at most
    shape = high + reach + 1 - corner
    there = np.zeros(int(shape.prod()), bool)
    there[_number(others, corner, shape)] = True
    left = np.flatnonzero(inside)
    at = _number(cells[:, left], corner, shape)
    jumps = _number(offsets, np.zeros(3, np.int64), shape)
    start = spent = 0
    while at.size and start < len(jumps) and mm[start] <= up_to_mm and spent < _TREE * (others.shape[1] + 4 * at.size):
        stop = start + max(1, _TRY // at.size)
        hits = there[at + jumps[start:stop, None]]
        hit = hits.any(axis=0)
        if hit.any():
            out[left[hit]] = mm[start + hits[:, hit].argmax(axis=0)]
            left, at = left[~hit], at[~hit]
        spent += hits.size + _TRY
        start = stop
    if start < len(jumps) and mm[start] > up_to_mm:
        return np.zeros(0, np.int64)  # all that is near enough was tried
    return np.concatenate([left, np.flatnonzero(~inside)])


def _number(index: Index, corner: Index, shape: Index) -> Index:
    """Place of each index (3, n) in a flat array of `shape` that begins at `corner`."""
    z, y, x = index
    out = ((z - corner[0]) * shape[1] + (y - corner[1])) * shape[2] + (x - corner[2])
    return np.asarray(out)


@lru_cache(maxsize=16)
def _offsets(steps: tuple[float, ...]) -> tuple[Index, Float]:
    """Steps between cells (3, n) by their length, and the lengths (n,) in mm; none that is shorter is left out."""
    matrix = np.array(steps).reshape(3, 3)
    radius = (_OFFSETS * abs(np.linalg.det(matrix)) * 3 / (4 * np.pi)) ** (1 / 3)
    reach = np.floor(radius * np.linalg.norm(np.linalg.inv(matrix), axis=1)).astype(np.int64)
    offsets = np.indices(2 * reach + 1).reshape(3, -1) - reach[:, None]
    mm = _length_mm(offsets, matrix)
    order = np.argsort(mm, kind="stable")
    order = order[mm[order] <= radius][:_OFFSETS]
    return offsets[:, order], mm[order]


def _ask_tree(cells: Index, others: Index, steps: Float, up_to_mm: float) -> Float:
    out = np.full(cells.shape[1], np.inf)
    tree = cKDTree((steps @ others).T, leafsize=_LEAF, balanced_tree=False, compact_nodes=False)
    # A little more than asked for, since the tree rounds.
    limit, workers = up_to_mm * (1 + 1e-9), -1 if cells.shape[1] > _PARALLEL else 1
    _, hit = tree.query((steps @ cells).T, distance_upper_bound=limit, workers=workers)
    near = hit < others.shape[1]
    out[near] = _length_mm(cells[:, near] - others[:, hit[near]], steps)
    return out


def _length_mm(offsets: Index, steps: Float) -> Float:
    """Length of each offset (3, n); computed as scipy's Euclidean distance transform does, to the last bit."""
    dz, dy, dx = steps @ offsets
    return np.asarray(np.sqrt(dz * dz + dy * dy + dx * dx))
