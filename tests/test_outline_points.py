"""Editable points: near the outline, and a change of one changes what lies between the lines alone."""

import numpy as np
import pytest
from hands import inside
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from contourdesk.app.contours_raster import fill_polygons
from contourdesk.app.outline_points import added, changed, loops_of, moved, nearest_edge, nearest_point, removed


def disc(radius=20.0, spacing=(1.0, 1.0), shape=(60, 70), hole=0.0):
    row, column = np.ogrid[: shape[0], : shape[1]]
    distance = np.hypot((row - 30) * spacing[0], (column - 32) * spacing[1])
    return (distance <= radius) & (distance >= hole)


def slow_fill(loops, shape, hair=1e-7):
    """Even-odd rule by another hand, at a hair's breadth from the centres."""
    row, column = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    at = np.column_stack([column.ravel() + hair, row.ravel() + 2 * hair])
    out = np.zeros(shape, bool)
    for loop in loops:
        out ^= inside(loop[:, ::-1], at).reshape(shape)
    return out


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 1.0), (0.7, 0.7)])
def test_few_points_follow_the_outline(spacing) -> None:
    bits = disc(18.0, spacing, hole=7.0)
    loops = loops_of(bits, spacing)
    assert len(loops) == 2 and all(4 <= len(loop) <= 40 for loop in loops)
    drawn = slow_fill(loops, bits.shape)
    off = ndimage.distance_transform_edt(drawn, sampling=spacing) + ndimage.distance_transform_edt(
        ~drawn, sampling=spacing
    )
    assert off[drawn != bits].max(initial=0) <= 1.5 * max(spacing)
    assert loops_of(np.zeros((4, 5), bool), spacing) == ()
    one = np.zeros((4, 5), bool)
    one[1, 2] = True
    assert (slow_fill(loops_of(one, (1, 1)), one.shape) == one).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_does_not_lie_between_the_lines_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = ndimage.gaussian_filter(rng.normal(size=(40, 50)), 3) > 0.03
    loops = loops_of(bits, (1, 1))
    if not loops:
        return
    n = int(rng.integers(len(loops)))
    k = int(rng.integers(len(loops[n])))
    kind = rng.integers(3)
    place = tuple(rng.uniform(-5, 50, 2))
    new = (moved(loops, (n, k), place), added(loops, (n, k), place), removed(loops, (n, k)))[kind]
    after = changed(bits, loops, new)
    old, filled = fill_polygons(loops, bits.shape), fill_polygons(new, bits.shape) if new else np.zeros_like(bits)
    assert (after == np.where(old == filled, bits, filled)).all()
    for some, fast in ((loops, old), (new, filled)):
        one, other = slow_fill(some, bits.shape), slow_fill(some, bits.shape, -1e-7)
        sure = one == other  # no line through the centre
        assert (fast == one)[sure].all() and sure.mean() > 0.95
    assert (changed(bits, loops, loops) == bits).all()


def test_a_moved_point_takes_its_triangle() -> None:
    bits = np.zeros((30, 30), bool)
    bits[10:20, 10:20] = True
    loop = np.array([[9.5, 9.5], [9.5, 19.5], [19.5, 19.5], [19.5, 9.5]])
    after = changed(bits, [loop], moved([loop], (0, 1), (9.5, 27.5)))
    row, column = np.indices(bits.shape)
    # A triangle more, to the right of column 19: from its top corner down to the corner below.
    triangle = (column > 19.5) & (row > 9.5) & ((row - 9.5) / 10 + (column - 19.5) / 8 < 1)
    assert (after == (bits | triangle)).all()
    more = added([loop], (0, 0), (4.5, 14.5))
    assert more[0].tolist()[1] == [4.5, 14.5] and len(more[0]) == 5
    assert np.count_nonzero(changed(bits, [loop], more) & ~bits) == 25  # half of 10 x 5
    assert not changed(bits, [loop], removed(removed([loop], (0, 0)), (0, 0))).any()


def test_what_is_near() -> None:
    loop = np.array([[10.0, 10], [10, 20], [20, 20], [20, 10]])
    far = loop + 30
    assert nearest_point((loop, far), (11, 19), (1, 1), 3) == (0, 1)
    assert nearest_point((loop, far), (51, 51), (1, 1), 3) == (1, 2)
    assert nearest_point((loop, far), (15, 15), (1, 1), 3) is None
    assert nearest_point((loop, far), (12, 20), (5, 1), 3) is None  # ten of the unit away
    assert nearest_edge((loop, far), (15, 21), (1, 1), 3) == (0, 1)
    assert nearest_edge((loop, far), (15, 9), (1, 1), 3) == (0, 3)
    assert nearest_edge((loop, far), (15, 15), (1, 1), 3) is None
