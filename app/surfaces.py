"""Surfaces of masks, for the view in three dimensions: smooth, light, in LPS mm, as large as their voxels.

Marching cubes on the mask, in index coordinates, carried to LPS by the grid's own affine: so spacing, tilt and flips
are right by construction. The staircase is evened out by Taubin's steps, and what that takes from the volume is given
back along the normals. Big structures are averaged over blocks of voxels first, to keep the number of triangles small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from skimage.measure import marching_cubes

from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.structures import Bits, Mask

Float = NDArray[np.float64]
Faces = NDArray[np.int32]

MAX_TRIANGLES = 12_000  # for each structure; sixty of them can still be turned with a software renderer
_STEPS = (0.6, -0.62)  # Taubin: a step that evens out and a larger one back, so that curves don't shrink
_ROUNDS = 40
_REACH = 0.6  # voxels that a vertex may move while it is evened out
_VOLUME_ROUNDS = 3
_TINY = 60  # vertices; a few voxels would be evened out to a point


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface.

    Parameters
    ----------
    vertices_lps : (n, 3) LPS mm.
    faces : (m, 3) numbers of vertices, counter-clockwise seen from outside.
    normals : (n, 3) unit vectors, outwards.
    """

    vertices_lps: Float
    faces: Faces
    normals: Float

    @property
    def area_mm2(self) -> float:
        """Area of all triangles."""
        return float(np.linalg.norm(_crossed(self.vertices_lps, self.faces), axis=1).sum() / 2)

    @property
    def volume_ml(self) -> float:
        """Volume inside, holes left out."""
        return _volume_mm3(self.vertices_lps, self.faces) / 1000


def surface(mask: Mask, grid: Grid, max_triangles: int = MAX_TRIANGLES) -> Surface | None:
    """Surface of a mask, None for an empty one. It lies within half a voxel of the voxels' own faces, thin parts kept.

    A mask with more than about `max_triangles` triangles is averaged over blocks of voxels until it has about as many;
    what is thinner than half a block is then lost.
    """
    tight = mask.tight
    if tight.is_empty:
        return None
    blocks = _blocks(tight.bits, grid, max_triangles)
    part, start = _averaged(tight.bits, blocks)
    if part.max() <= 0.5:  # nothing fills half a block
        blocks = (1, 1, 1)
        part, start = _averaged(tight.bits, blocks)
    found, faces, _, _ = marching_cubes(part, 0.5, allow_degenerate=False)
    index = (found.astype(np.float64) + start) * blocks + (np.array(blocks) - 1) / 2 + tight.offset
    faces = np.ascontiguousarray(faces, np.int32)
    points = grid.to_world(index)
    if _volume_mm3(points, faces) < 0:
        faces = np.ascontiguousarray(faces[:, ::-1])
    reach = grid.affine[:3, :3] * (np.array(blocks) * _REACH)
    if len(points) > _TINY:
        points = _evened(points, faces, reach)
    points = _given_back(points, faces, 1000 * mask.count * grid.voxel_ml, float(np.abs(reach).max(axis=0).min()))
    return Surface(points, faces, _normals(points, faces))


def surfaces(masks: Sequence[tuple[str, Mask]], grid: Grid) -> Job[dict[str, Surface | None]]:
    """Surfaces of several masks by their keys, as a job."""
    out: dict[str, Surface | None] = {}
    for i, (key, mask) in enumerate(masks):
        yield Progress(i, len(masks), "Surfaces")
        out[key] = surface(mask, grid)
    return out


def first_hit(shown: Sequence[Surface], start_lps: ArrayLike, towards: ArrayLike) -> Float | None:
    """Where a ray first meets one of the surfaces, LPS mm (3,), or None.

    Parameters
    ----------
    shown : surfaces.
    start_lps : (3,) LPS mm.
    towards : (3,) direction, of any length.
    """
    start, ray = np.asarray(start_lps, float), np.asarray(towards, float)
    ray = ray / np.linalg.norm(ray)
    nearest = np.inf
    for one in shown:
        a, b, c = (one.vertices_lps[one.faces[:, i]] for i in range(3))
        edge1, edge2 = b - a, c - a
        across = np.cross(ray, edge2)
        det = (edge1 * across).sum(axis=1)
        good = np.abs(det) > 1e-12
        inverse = 1 / np.where(good, det, 1.0)
        offset = start - a
        u = (offset * across).sum(axis=1) * inverse
        turned = np.cross(offset, edge1)
        v = (turned @ ray) * inverse
        t = (edge2 * turned).sum(axis=1) * inverse
        good &= (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0)
        if good.any():
            nearest = min(nearest, float(t[good].min()))
    return None if np.isinf(nearest) else start + nearest * ray


def _blocks(bits: Bits, grid: Grid, max_triangles: int) -> tuple[int, int, int]:
    """How many voxels along each axis are averaged into one."""
    spacing = np.array(grid.spacing_mm)
    # A voxel face on the surface makes about two triangles.
    counts = np.array([2 * np.count_nonzero(np.diff(np.pad(bits, 1).view(np.int8), axis=a)) for a in range(3)], float)
    size, blocks = float(spacing.min()), np.ones(3, int)
    for _ in range(60):
        across = np.array([blocks[1] * blocks[2], blocks[0] * blocks[2], blocks[0] * blocks[1]])
        if float((counts / across).sum()) <= max_triangles:
            break
        size *= 1.15
        blocks = np.maximum(1, np.rint(size / spacing)).astype(int)
    return int(blocks[0]), int(blocks[1]), int(blocks[2])


def _averaged(bits: Bits, blocks: tuple[int, int, int]) -> tuple[NDArray[np.float32], Float]:
    """Share of set voxels in each block, with a border of empty blocks; and the first block's index in blocks."""
    room = [(b, -n % b + b) for n, b in zip(bits.shape, blocks, strict=True)]
    padded = np.pad(bits, room).astype(np.float32)
    for axis, b in enumerate(blocks):
        if b > 1:
            shape = [*padded.shape[:axis], padded.shape[axis] // b, b, *padded.shape[axis + 1 :]]
            padded = padded.reshape(shape).mean(axis=axis + 1)
    return padded, -np.ones(3)


def _evened(points: Float, faces: Faces, reach: Float) -> Float:
    """Vertices after Taubin's smoothing, each within the box round its place that the columns of `reach` span."""
    start, inverse = points, np.linalg.inv(reach).T
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    n = len(points)
    both = np.concatenate([ends, ends[:, ::-1]])
    links = coo_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n, n)).tocsr()
    links.data[:] = 1.0  # an edge belongs to two triangles and is counted once
    share = 1.0 / np.maximum(np.diff(links.indptr), 1)[:, None]
    for _ in range(_ROUNDS):
        for step in _STEPS:
            points = points + step * (share * (links @ points) - points)
        points = start + np.clip((points - start) @ inverse, -1, 1) @ reach.T
    return points


def _given_back(points: Float, faces: Faces, volume_mm3: float, most_mm: float) -> Float:
    """Vertices moved along their normals, at most `most_mm` at a time, until they enclose the volume of the voxels."""
    for _ in range(_VOLUME_ROUNDS):
        area = np.linalg.norm(_crossed(points, faces), axis=1).sum() / 2
        lack = volume_mm3 - _volume_mm3(points, faces)
        points = points + _normals(points, faces) * float(np.clip(lack / max(area, 1e-9), -most_mm, most_mm))
    return points


def _crossed(points: Float, faces: Faces) -> Float:
    a, b, c = (points[faces[:, i]] for i in range(3))
    return np.asarray(np.cross(b - a, c - a))


def _volume_mm3(points: Float, faces: Faces) -> float:
    middle = points.mean(axis=0)  # near to the surface, or digits are lost
    a, b, c = (points[faces[:, i]] - middle for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def _normals(points: Float, faces: Faces) -> Float:
    crossed = _crossed(points, faces)
    out = np.zeros_like(points)
    for i in range(3):
        for axis in range(3):
            out[:, axis] += np.bincount(faces[:, i], crossed[:, axis], minlength=len(points))
    length = np.linalg.norm(out, axis=1, keepdims=True)
    return np.asarray(out / np.where(length > 0, length, 1.0))
