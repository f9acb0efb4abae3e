"""The distance from each of many cells of a grid to the nearest of many others, exact.

Two contours of one organ mostly lie near each other. So the nearest cell is looked for by trying offsets, the shortest
first. For what that does not find, the box round both is swept one axis after the other, as a distance transform does,
if the cells are many; a k-d tree is asked if they are few or the grid is sheared.

Either way the distance is computed from whole numbers of steps between two cells: three steps of 0.9 mm are 2.7 mm, and
not a rounding error more. Squares are added up in the order z, y, x, as in scipy's Euclidean distance transform, so
that the results are the same to the last bit.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contourdesk.app.geometry import Float

Index = NDArray[np.int64]

# What pays was found by trying, on two cores; the results don't depend on it.
_OFFSETS = 1000  # so many offsets are tried at most, about 6 voxels round about
_TRY = 8000  # lookups at a time at least: what numpy needs for one round apart from them
_TREE = 40  # what a point of the tree, or a cell that asks it, costs at least, in lookups
_SWEEP = 100  # voxels swept in the time that the tree needs for a cell
_REACH = 10  # how far is swept at first, in voxels
_NOWHERE = 60_000  # slices; more than there are
_PARALLEL = 20_000  # points from which on threads pay
_LEAF = 64  # nearly equidistant surfaces profit from leaves larger than scipy's 10


def nearest_mm(cells: Index, others: Index, steps: Float, up_to_mm: float = np.inf) -> Float:
    """Distance in mm from each cell to the nearest of the others; infinite where that is over `up_to_mm`.

    Parameters
    ----------
    cells, others : (3, n) and (3, m) indices along z, y and x, each in array order.
    steps : (3, 3) mm, column i is the step along axis i.
    """
    out = np.full(cells.shape[1], np.inf)
    if cells.size and others.size:
        left = _look_around(cells, others, steps, up_to_mm, out)
        if left.size:
            way = _sweep if _sweeping_pays(cells[:, left], others, steps) else _ask_tree
            out[left] = way(cells[:, left], others, steps, up_to_mm)
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
    while at.size and start < len(jumps) and mm[start] <= up_to_mm and spent < _TREE * (others.shape[1] + at.size):
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


def _sweeping_pays(cells: Index, others: Index, steps: Float) -> bool:
    """Whether there are so many cells that the box round all is swept sooner than a tree is asked for each."""
    if np.count_nonzero(steps - np.diag(np.diag(steps))):
        return False
    low, high = _box(cells, others)
    return bool((high - low + 1).prod() < _SWEEP * cells.shape[1])


def _sweep(cells: Index, others: Index, steps: Float, up_to_mm: float) -> Float:
    """Nearest along z for the box round all, then along y slice by slice, then along x for the cells alone."""
    low, high = _box(cells, others)
    along_z = np.full(high - low + 1, _NOWHERE, np.uint16)
    along_z[tuple(others - low[:, None])] = 0
    for planes in (along_z, along_z[::-1]):
        for before, plane in pairwise(planes):
            np.minimum(plane, before + np.uint16(1), out=plane)
    sz, sy, sx = (float(v) for v in np.diag(steps))
    out = np.empty(cells.shape[1])
    z, y, x = cells - low[:, None]
    for part in np.split(np.arange(z.size), np.flatnonzero(np.diff(z)) + 1):
        plane = along_z[z[part[0]]]
        squares = np.where(plane < _NOWHERE, plane * sz, np.inf) ** 2
        out[part] = _sweep_slice(squares, y[part], x[part], (sy, sx), up_to_mm)
    return out


def _sweep_slice(along_z: Float, y: Index, x: Index, spacing: tuple[float, float], up_to_mm: float) -> Float:
    """Distance in mm at (y, x) of a slice whose nearest along z are known by the square of their distance."""
    (rows, columns), (sy, sx) = along_z.shape, spacing
    best = np.full(y.size, np.inf)
    left = np.arange(y.size)
    nearest, shifted = along_z.copy(), np.empty_like(along_z)
    reach, tried = _REACH * max(spacing), 0
    while True:
        down, across = min(int(reach / sy), rows - 1), min(int(reach / sx), columns - 1)
        for k in range(tried + 1, down + 1):
            np.add(along_z, (k * sy) ** 2, out=shifted)
            np.minimum(nearest[k:], shifted[:-k], out=nearest[k:])
            np.minimum(nearest[:-k], shifted[k:], out=nearest[:-k])
        padded = np.pad(nearest, ((0, 0), (across, across)), constant_values=np.inf).ravel()
        at = y[left] * (columns + 2 * across) + x[left] + across
        found = padded[at]
        for k in range(1, across + 1):
            np.minimum(found, np.minimum(padded[at - k], padded[at + k]) + (k * sx) ** 2, out=found)
        best[left] = found
        # What lies within `reach` was looked at in full; beyond it there may be something nearer than what was found.
        mm = np.sqrt(found)
        left = left[mm > reach]
        if left.size == 0 or reach > up_to_mm or (down, across) == (rows - 1, columns - 1):
            return np.asarray(np.sqrt(best))
        reach, tried = min(4 * reach, float(mm.max()) * (1 + 1e-9)), down


def _box(cells: Index, others: Index) -> tuple[Index, Index]:
    """First and last index of the box round both."""
    return np.minimum(cells.min(axis=1), others.min(axis=1)), np.maximum(cells.max(axis=1), others.max(axis=1))


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
