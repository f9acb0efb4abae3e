"""The nudge brush: a round body pushes the outline of a structure on one slice, as if it were soft.

Pressed inside, the body pushes the outline outwards; pressed outside, inwards. Where it meets the outline, that comes
to lie on its circle. What lies behind the outline gives way: it is carried along in front of the body, full at first
and less and less up to one and a half radii further on, so walls bend and holes move instead of being run over. What
the body doesn't press against stays. Parts and holes of the slice stay what they are (see `homotopy`), however far one
pushes.

The outline is the zero level of a signed distance, looked up where each place of the slice came from; so small moves
count, and many of them give what one long one gives, as nearly as a voxel can tell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contourdesk.app.geometry import Grid
from contourdesk.app.homotopy import towards
from contourdesk.app.structures import Bits

Float = NDArray[np.float64]
Level = NDArray[np.float32]

_CARRIED, _SHELL = 0.5, 1.5  # of the radius: so far from the circle all is carried along, and so far something is
_STRIDE = 0.35  # of the radius that the body goes in one step
_FINE = 8  # steps, at most, of a move that a voxel each does better
_FAR = 1e4  # mm; further than anything is


@dataclass(frozen=True, eq=False)
class Push:
    """A push on one slice, at one moment.

    Parameters
    ----------
    bits : (rows, columns) of the structure's slice now.
    first : (rows, columns) signed distance in mm to the outline as it was, positive on the body's side of it.
    origin : (2, rows, columns) index in `first` of what lies here now.
    swept : (rows, columns) mm into the body's way, which is all on its side; negative beside it.
    level : (rows, columns) both together: positive on the body's side of the outline now.
    outwards : whether the body is inside the structure.
    centre : of the body, index (row, column), fractions meant.
    radius_mm : of the body: the brush's, or less when it was pressed nearer than that to the outline.
    steps_mm : (2, 2) mm that one step along the rows' and the columns' index goes, in orthonormal coordinates.
    may_add, may_take : (rows, columns) where voxels may be added and taken away; None for everywhere.
    """

    bits: Bits
    first: Level
    origin: Level
    swept: Level
    level: Level
    outwards: bool
    centre: tuple[float, float]
    radius_mm: float
    steps_mm: Float
    may_add: Bits | None = None
    may_take: Bits | None = None


def plane_steps(grid: Grid, slice_axis: int) -> Float:
    """(2, 2) mm per index step of the two axes in the plane, in orthonormal coordinates; exact for sheared grids."""
    axes = [a for a in range(3) if a != slice_axis]
    return np.asarray(np.linalg.qr(grid.affine[:3, axes])[1])


def begin(
    bits: Bits,
    steps_mm: Float,
    at: tuple[float, float],
    radius_mm: float,
    may_add: Bits | None = None,
    may_take: Bits | None = None,
) -> Push:
    """Put the body down. Nothing moves yet: near the outline it is made just small enough to touch it.

    Parameters
    ----------
    bits : (rows, columns) of the structure's slice.
    steps_mm : see `plane_steps`.
    at : index (row, column), fractions meant; may lie outside the slice.
    radius_mm : the brush's radius, above 0.
    """
    outwards = bool(_value(bits, at))
    level = signed_distance(bits if outwards else ~bits, np.linalg.norm(steps_mm, axis=0))
    room = float(ndimage.map_coordinates(level, np.reshape(at, (2, 1)), order=1, mode="nearest")[0])
    smallest = float(np.linalg.norm(steps_mm, axis=0).max())
    radius = min(radius_mm, max(room, smallest))
    origin = np.indices(bits.shape, np.float32)
    swept = np.full(bits.shape, -_FAR, np.float32)
    centre = (float(at[0]), float(at[1]))
    return Push(bits, level, origin, swept, level, outwards, centre, radius, steps_mm, may_add, may_take)


def push(now: Push, to: tuple[float, float]) -> Push:
    """Move the body on a straight line to `to`, index (row, column); returns the slice after it, changes nothing."""
    way = float(np.hypot(*(now.steps_mm @ (np.asarray(to, float) - now.centre))))
    count = max(1, int(np.ceil(way / (_STRIDE * now.radius_mm))))
    moved, left = _go(now, to, count)
    # Thin walls can follow a voxel at a time only.
    fine = min(_FINE, int(np.ceil(way / float(np.linalg.norm(now.steps_mm, axis=0).min()))))
    return _go(now, to, fine)[0] if left and fine > count else moved


def _go(now: Push, to: tuple[float, float], count: int) -> tuple[Push, int]:
    """Go to `to` in so many steps; also tells how many voxels could not follow."""
    left = 0
    places = np.linspace(now.centre, to, count + 1)[1:]
    now = replace(now, origin=now.origin.copy(), swept=now.swept.copy(), level=now.level.copy())
    for place in places:
        box = _step(now, place)
        bits = now.bits
        if box is not None:
            bits, left = _follow(now, box)
        now = replace(now, bits=bits, centre=(float(place[0]), float(place[1])))
    return now, left


def signed_distance(bits: Bits, spacing_mm: Float) -> Level:
    """Distance in mm to the outline, half way between voxels, at each centre of (rows, columns); positive inside."""
    edt = ndimage.distance_transform_edt
    half, far = float(min(spacing_mm)) / 2, float(np.dot(bits.shape, spacing_mm))
    if bits.all() or not bits.any():
        return np.full(bits.shape, far if bits.any() else -far, np.float32)
    inside, outside = edt(bits, sampling=spacing_mm), edt(~bits, sampling=spacing_mm)
    return np.asarray(np.where(bits, inside - half, half - outside), np.float32)


def _step(now: Push, new: Float) -> tuple[slice, slice] | None:
    """Move the body to `new`, less than a radius away, writing into the arrays of `now`; return the box written."""
    radius, steps = now.radius_mm, now.steps_mm
    voxel = float(np.linalg.norm(steps, axis=0).max())
    # Half the width of a ball along each axis of the index.
    reach = (radius + max(_SHELL * radius, 2 * voxel)) * np.sqrt(np.diag(np.linalg.inv(steps.T @ steps)))
    low = np.maximum(np.floor(new - reach).astype(int), 0)
    high = np.minimum(np.ceil(new + reach).astype(int) + 1, now.level.shape)
    if (high <= low).any() or _free(now, new, radius + voxel):
        return None
    box = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
    row, column = np.ogrid[box]
    y = steps[0, 0] * (row - new[0]) + steps[0, 1] * (column - new[1])
    x = steps[1, 0] * (row - new[0]) + steps[1, 1] * (column - new[1])
    distance = np.hypot(y, x)
    _give_way(now, box, np.stack([y, x]), distance, new, voxel)
    np.maximum(now.swept[box], radius - distance, out=now.swept[box], casting="same_kind")
    was = ndimage.map_coordinates(now.first, now.origin[:, *box], order=1, mode="nearest")
    np.maximum(was, now.swept[box], out=now.level[box])
    return box


def _free(now: Push, place: Float, room_mm: float) -> bool:
    """Whether all round a place, as far as that, there is nothing but the body's own side."""
    row, column = (int(i) for i in np.clip(np.floor(place + 0.5), 0, np.subtract(now.level.shape, 1)))
    return bool(now.level[row, column] > 1.2 * room_mm)


def _give_way(
    now: Push, box: tuple[slice, slice], away: Float, distance: Float, new: Float, voxel: float
) -> None:  # fmt: skip
    """Carry along what lies behind the outline where the body presses against it.

    `away` (2, rows, columns) and `distance` are mm from the body's new middle, for the voxels of the box.
    """
    radius = now.radius_mm
    angles, depth = _pressed(now, new, voxel)
    if depth.max() < 1e-6:
        return
    carried, shell = max(_CARRIED * radius, voxel), max(_SHELL * radius, 2 * voxel)
    # From a little inside the circle, so that what is looked up on it is in one piece.
    at = np.nonzero((distance > max(radius - 3 * voxel, 0.1 * voxel)) & (distance < radius + shell))
    far, direction = distance[at], away[:, at[0], at[1]] / distance[at]
    share = np.clip((radius + shell - far) / (shell - carried), 0, 1)
    shift = np.interp(np.arctan2(direction[0], direction[1]), angles, depth, period=2 * np.pi) * share
    moves = shift > 1e-6
    rows, columns = at[0][moves], at[1][moves]
    back = np.linalg.inv(now.steps_mm) @ (direction[:, moves] * shift[moves])
    source = np.stack([rows + box[0].start - back[0], columns + box[1].start - back[1]])
    for field in (now.origin[0], now.origin[1], now.swept):
        field[box][rows, columns] = ndimage.map_coordinates(field, source, order=1, mode="nearest")


def _pressed(now: Push, new: Float, voxel: float) -> tuple[Float, Float]:
    """How deep, in mm, the outline would lie inside the circle in its new place, by angle (radians) round its middle.

    Each ray is followed from where it leaves the circle in its old place; in front that is inside the new one.
    """
    radius = now.radius_mm
    moved = now.steps_mm @ (new - now.centre)
    count = max(24, int(np.ceil(2 * np.pi * radius / voxel * 1.5)))
    angles = np.linspace(-np.pi, np.pi, count, endpoint=False)
    ray = np.stack([np.sin(angles), np.cos(angles)])
    along = ray.T @ moved
    start = np.sqrt(np.maximum(along**2 - moved @ moved + radius**2, 0)) - along
    room = radius - start
    depth = np.zeros(count)
    front = np.flatnonzero(room > 1e-9)
    if not len(front):
        return angles, depth
    samples = max(2, int(np.ceil(room.max() / (voxel / 2)))) + 1
    part = np.linspace(0, 1, samples)[:, None]
    rho = start[front] + part * room[front]
    place = np.linalg.inv(now.steps_mm) @ (ray[:, None, front] * rho).reshape(2, -1) + new[:, None]
    level = ndimage.map_coordinates(now.level, place, order=1, mode="nearest").reshape(rho.shape)
    beyond = level <= 1e-4
    meets = beyond.any(axis=0)
    k = np.argmax(beyond, axis=0)
    column = np.arange(len(front))
    before, after = level[np.maximum(k - 1, 0), column], level[k, column]
    fraction = np.where(k > 0, before / np.maximum(before - after, 1e-9), 0.0)
    first = rho[np.maximum(k - 1, 0), column] + fraction * (rho[k, column] - rho[np.maximum(k - 1, 0), column])
    depth[front] = np.where(meets, np.maximum(radius - first, 0), 0)
    return angles, depth


def _follow(now: Push, box: tuple[slice, slice]) -> tuple[Bits, int]:
    """The structure's slice made to follow the level in a box, and how many of its voxels could not.

    Parts, holes and limits stay as they are.
    """
    # One voxel more, or the box's edge would count as outside the structure.
    wide = (slice(max(box[0].start - 1, 0), box[0].stop + 1), slice(max(box[1].start - 1, 0), box[1].stop + 1))
    old = now.bits[wide]
    target = (now.level[wide] > 0) == now.outwards
    if now.may_add is not None:
        target &= now.may_add[wide] | old
    if now.may_take is not None:
        target |= old & ~now.may_take[wide]
    inner = (slice(box[0].start - wide[0].start, box[0].stop - wide[0].start),
             slice(box[1].start - wide[1].start, box[1].stop - wide[1].start))  # fmt: skip
    framed = old.copy()
    framed[inner] = target[inner]
    if (framed == old).all():
        return now.bits, 0
    new = towards(old, framed)
    out = now.bits.copy()
    out[wide] = new
    return out, int(np.count_nonzero(new != framed))


def _value(bits: Bits, at: tuple[float, float]) -> bool:
    row, column = (int(np.floor(i + 0.5)) for i in at)
    return 0 <= row < bits.shape[0] and 0 <= column < bits.shape[1] and bool(bits[row, column])
