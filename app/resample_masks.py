"""Structures between the original slices of a resampled series and its even grid, both ways.

Contours that were drawn on the original slices are filled on the grid with all their decimals where a slice of the
grid lies on an original one. Between two original slices the outline is found from the shapes on both (signed
distances, weighted by nearness), moved along the gantry's line as the image is. The way back is the same; where an
original slice lies on one of the grid nothing is lost, and only the part of a pixel by which they are shifted against
each other shows in a mask of original pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contourdesk.app.contour import Contour
from contourdesk.app.contours_raster import Raster, rasterise
from contourdesk.app.geometry import Box, Grid
from contourdesk.app.resample import Resample
from contourdesk.app.structures import Bits, Mask, Structure, tight_box

Float = NDArray[np.float64]
_DECIMALS = 6
_ENDS = ("start", "stop")


@dataclass(frozen=True, eq=False)
class Piece:
    """What a mask is on one original slice.

    Parameters
    ----------
    plane : number of the original slice, as in ``case.source.image_uids``.
    mask : on `grid`.
    grid : shape (1, rows, columns), its one slice exactly in the plane of the original one.
    """

    plane: int
    mask: Mask
    grid: Grid


def rasterise_resampled(contours: Sequence[Contour], how: Resample, image_uids: Sequence[str] = ()) -> Raster:
    """Fill the contours of one ROI, LPS mm, on the even grid; the raster's counts and offset are of original slices.

    A contour belongs to the original slice that it names or is nearest to, at most half the local distance away.
    Contours that don't lie in the planes of the slices (drawn on straightened images) are filled as on any grid.

    Parameters
    ----------
    image_uids : SOP Instance UIDs of the original slices, in order, where they are known.
    """
    placement = how.planes.place(contours, image_uids)
    if not placement.in_slices:
        return rasterise(contours, how.grid)
    indexed = how.planes.indexed(contours)
    by_plane: dict[int, list[Contour]] = {}
    for i in np.flatnonzero(placement.shown).tolist():
        by_plane.setdefault(int(placement.slices[i]), []).append(indexed[i])
    low = _on_slices(by_plane, how, how.below)
    high = _on_slices(by_plane, how, np.where(how.weight > 0, how.below + 1, -1))
    box = _union(low, high)
    mask = _mixed(low.read(box), high.read(box), how, box)
    return replace(how.planes.rasterise(contours, image_uids), mask=mask)


def _on_slices(by_plane: dict[int, list[Contour]], how: Resample, plane_of_slice: NDArray[np.int64]) -> Mask:
    """Mask on the grid of which each slice holds the shape of the plane named for it, moved to where it belongs."""
    moved = []
    for k, plane in enumerate(plane_of_slice):
        for contour in by_plane.get(int(plane), ()):
            points = np.column_stack(
                [np.full(len(contour.points_lps), k), contour.points_lps[:, 1:] + how.slice_shift[k]]
            )
            moved.append(replace(contour, points_lps=points, image_uid=""))
    return rasterise(moved, Grid(how.grid.shape, np.eye(4))).mask


def _mixed(low: Bits, high: Bits, how: Resample, box: Box) -> Mask:
    """Slice by slice of a box of the grid the shape between those of the original planes below and above."""
    out = low.copy()
    for i, k in enumerate(range(box[0].start, box[0].stop)):
        if how.weight[k] > 0:
            out[i] = _between_planes(low[i], high[i], how, k)
    return Mask.from_dense(out, (box[0].start, box[1].start, box[2].start))


def _between_planes(low: Bits, high: Bits, how: Resample, k: int) -> Bits:
    """The shape on slice `k` of the grid, from those on the original planes next to it, moved to where they belong."""
    plane = int(how.below[k])
    # In the middle of a gap nothing is made up beyond a structure's end; but a lone plane half way between two
    # slices of the grid must show on one of them.
    wide = float(how.plane_at[plane + 1] - how.plane_at[plane]) > 1.5
    return between(low, high, float(how.weight[k]), how.grid.spacing_mm[1:], half=not wide)


def mask_on_grid(on_planes: Mask, how: Resample) -> Mask:
    """A mask of the original slices' own voxels on the even grid: what a DICOM SEG on the original images shows.

    The way back of `masks_on_original_planes`, and exactly that where an original slice lies on a slice of the grid.

    Parameters
    ----------
    on_planes : index (plane, row, column).
    how : ``case.source.resampled``.
    """
    tight = tight_box(on_planes.bits)
    if tight is None:
        return Mask()
    start, stop = ([getattr(s, end) + o for s, o in zip(tight, on_planes.offset, strict=True)] for end in _ENDS)
    used = [k for k in range(how.grid.shape[0]) if start[0] - 1 <= how.below[k] < stop[0]]
    if not used:
        return Mask()
    shift = how.slice_shift[used]
    box = [slice(used[0], used[-1] + 1)]
    for axis, size in enumerate(how.grid.shape[1:]):
        first = int(np.floor(start[axis + 1] + shift[:, axis].min())) - 1
        last = int(np.ceil(stop[axis + 1] + shift[:, axis].max())) + 1
        box.append(slice(max(0, first), min(size, last)))
    out = np.zeros(tuple(s.stop - s.start for s in box), bool)
    for i, k in enumerate(used):
        low, part = int(how.below[k]), float(how.weight[k])
        # The pixel whose way to the grid ends here.
        index = [
            np.ceil(np.round(np.arange(s.start, s.stop) - how.slice_shift[k, axis], _DECIMALS) - 0.5).astype(np.int64)
            for axis, s in enumerate(box[1:])
        ]
        out[i] = _picked(on_planes, low, *index)
        if part > 0:
            out[i] = _between_planes(out[i], _picked(on_planes, low + 1, *index), how, k)
    return Mask.from_dense(out, (box[0].start, box[1].start, box[2].start))


def masks_on_original_planes(mask: Mask, how: Resample) -> Mask:
    """A mask on the even grid as a mask of the original slices' own voxels.

    This is what a DICOM SEG on the original images holds. Where an original slice lies on a slice of the grid, a voxel
    is set when its centre lies in one of the mask's voxels (a centre on an edge counts to the higher index); between
    two slices of the grid, when it lies in the shape between both.

    Parameters
    ----------
    mask : on ``case.volume.grid``.
    how : ``case.source.resampled``.

    Returns
    -------
    Mask with index (plane, row, column): plane as in ``case.source.image_uids``, row and column of that image.
    """
    if mask.is_empty:
        return Mask()
    box = _original_box(mask, how)
    out = np.zeros(tuple(s.stop - s.start for s in box), bool)
    for i, plane in enumerate(range(box[0].start, box[0].stop)):
        out[i] = _on_plane(mask, how, plane, box)
    return Mask.from_dense(out, (box[0].start, box[1].start, box[2].start))


def pieces_on_original_planes(mask: Mask, how: Resample, planes: Sequence[int] | None = None) -> Iterator[Piece]:
    """What to draw on each original slice for a mask on the even grid: no two pieces on one, empty ones left out.

    This is what an RTSTRUCT is traced from. Where an original slice lies on a slice of the grid, the piece is that
    slice with the grid's own pixels, so nothing is lost; filling its outline on the original image's pixels gives
    `masks_on_original_planes`. Between two slices of the grid it is the mask of the original image's pixels.

    Parameters
    ----------
    mask, how : see `masks_on_original_planes`.
    planes : numbers of the original slices wanted; all unless given.
    """
    if mask.is_empty:
        return
    box = _original_box(mask, how)
    wanted = range(box[0].start, box[0].stop)
    for plane in (p for p in (wanted if planes is None else planes) if p in wanted):
        own = how.planes.grid_of(plane, how.grid.frame_of_reference_uid)
        at = float(how.plane_at[plane])
        if at.is_integer() and 0 <= at < how.grid.shape[0]:
            y, x = mask.box[1:]
            bits = mask.read((slice(int(at), int(at) + 1), y, x))
            piece = Piece(plane, Mask.from_dense(bits, (0, y.start, x.start)), _grid_in_plane(how, own, plane))
        else:
            bits = _on_plane(mask, how, plane, box)[None]
            piece = Piece(plane, Mask.from_dense(bits, (0, box[1].start, box[2].start)), own)
        if not piece.mask.is_empty:
            yield piece


def pieces_to_draw(structure: Structure, how: Resample, image_uids: Sequence[str] = ()) -> Iterator[Piece]:
    """Pieces of the original slices on which none of the structure's own contours stands: what a writer has to draw.

    As `contourdesk.app.contours_place.left_to_draw` for images that were not resampled.
    """
    placement = how.planes.place(structure.contours or (), image_uids)
    if not placement.in_slices:
        return
    held = set(placement.slices.tolist())
    yield from pieces_on_original_planes(structure.mask, how, [k for k in range(len(how.planes)) if k not in held])


def planes_of_slices(slices: Sequence[int], how: Resample) -> list[int]:
    """Numbers of the original slices that an edit of these slices of the grid changes: all on or next to one."""
    if not slices:
        return []
    near = np.abs(how.plane_at[:, None] - np.asarray(slices)[None, :]).min(axis=1)
    at = np.clip(how.plane_at, 0, how.grid.shape[0] - 1)
    return np.flatnonzero((near < 1) | np.isin(at, slices)).tolist()


def _grid_in_plane(how: Resample, own: Grid, plane: int) -> Grid:
    """The grid's rows and columns in the plane of an original slice."""
    affine = own.affine.copy()
    affine[:3, 3] = own.to_world((0.0, *(-how.plane_shift[plane])))
    return Grid((1, *how.grid.shape[1:]), affine, own.frame_of_reference_uid)


def _original_box(mask: Mask, how: Resample) -> Box:
    """Box in (plane, row, column) that holds all a mask can be on the original slices."""
    tight = tight_box(mask.bits) or (slice(0, 0), slice(0, 0), slice(0, 0))
    low, high = ([getattr(s, end) + o for s, o in zip(tight, mask.offset, strict=True)] for end in _ENDS)
    # A slice of the grid counts up to the next one on either side, and half a slice beyond the grid's end.
    at = how.plane_at
    planes = np.flatnonzero((at > low[0] - 1) & (at < high[0]))
    if planes.size == 0:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    slices = slice(max(0, low[0] - 1), min(high[0] + 1, how.grid.shape[0]))
    shift = how.slice_shift[slices]
    out = []
    for axis, size in enumerate(how.planes.shape):
        start = int(np.floor(low[axis + 1] - shift[:, axis].max())) - 1
        stop = int(np.ceil(high[axis + 1] - shift[:, axis].min())) + 2
        out.append(slice(min(max(0, start), size), min(max(0, stop), size)))
    return slice(int(planes[0]), int(planes[-1]) + 1), out[0], out[1]


def _on_plane(mask: Mask, how: Resample, plane: int, box: Box) -> Bits:
    """The rows and columns of `box` on one original slice."""
    last = how.grid.shape[0] - 1
    at = float(np.clip(how.plane_at[plane], 0, last))
    low = int(np.floor(at))
    first = _sampled(mask, how, low, box)
    if at == low:
        return first
    return between(first, _sampled(mask, how, low + 1, box), at - low, how.planes.spacing_mm)


def _sampled(mask: Mask, how: Resample, k: int, box: Box) -> Bits:
    """Slice `k` of a mask on the grid at the centres of an original slice's pixels, as if it lay there."""
    index = [
        np.floor(np.round(np.arange(s.start, s.stop) + how.slice_shift[k, axis], _DECIMALS) + 0.5).astype(np.int64)
        for axis, s in enumerate(box[1:])
    ]
    return _picked(mask, k, *index)


def _picked(mask: Mask, k: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Bits:
    """Slice `k` of a mask at these rows and columns, ascending; False beyond its box."""
    if not rows.size or not columns.size:
        return np.zeros((rows.size, columns.size), bool)
    y, x = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    bits = mask.read((slice(k, k + 1), y, x))[0]
    return np.asarray(bits[np.ix_(rows - y.start, columns - x.start)])


def between(a: Bits, b: Bits, part: float, spacing_mm: Sequence[float], *, half: bool = True) -> Bits:
    """The shape at `part` (0 to 1) of the way from `a` to `b`, (row, column) each.

    By signed distances in mm. A part of the nearer shape that would vanish, because it is smaller than it moves, stays
    as it is; of a shape that has nothing on the other side the nearer half of the way is filled. `half` says whether
    such a shape in `a` counts exactly half way.
    """
    near = a if part <= 0.5 else b
    if not a.any() or not b.any():
        return near if half or abs(part - 0.5) > 1e-6 else a & b
    if np.array_equal(a, b):
        return near
    box = tight_box((a | b)[None])
    if box is None:
        return near
    window = box[1:]
    distance = (1 - part) * _signed(a[window], spacing_mm) + part * _signed(b[window], spacing_mm)
    shape = (distance > 1e-9) | ((np.abs(distance) <= 1e-9) & near[window])
    labels, number = ndimage.label(near[window])
    lost = np.setdiff1d(np.arange(1, number + 1), labels[shape])
    out = np.zeros_like(a)
    out[window] = shape | np.isin(labels, lost)
    return out


def _signed(bits: Bits, spacing_mm: Sequence[float]) -> Float:
    """Distance in mm to the nearest pixel centre of the other side, positive inside."""
    edt, framed = ndimage.distance_transform_edt, np.pad(bits, 1)
    return np.asarray(edt(framed, sampling=spacing_mm) - edt(~framed, sampling=spacing_mm))[1:-1, 1:-1]


def _union(a: Mask, b: Mask) -> Box:
    boxes = [m.box for m in (a, b) if m.bits.size] or [a.box]
    z, y, x = (slice(min(p[i].start for p in boxes), max(p[i].stop for p in boxes)) for i in range(3))
    return z, y, x
