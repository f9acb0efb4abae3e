"""The nudge brush on phantoms: where the outline comes to lie, what stays, and that nothing joins or splits."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from contourdesk.app.geometry import Grid
from contourdesk.app.homotopy import count_parts, towards
from contourdesk.app.nudge import begin, plane_steps, push

SPACINGS = [(1.0, 1.0), (3.0, 1.0), (0.7, 0.7), (1.0, 2.5)]


def distance(shape, spacing, centre_mm):
    """Distance in mm of each voxel's centre to a place, (rows, columns)."""
    row, column = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(row * spacing[0] - centre_mm[0], column * spacing[1] - centre_mm[1])


def drag(bits, spacing, places_mm, radius_mm):
    """Press at the first place, go along the others; the slice after it."""
    at = [(p[0] / spacing[0], p[1] / spacing[1]) for p in places_mm]
    now = begin(bits, np.diag(spacing), at[0], radius_mm)
    for to in at[1:]:
        now = push(now, to)
    return now.bits


def shape_of(size_mm, spacing):
    return tuple(int(np.ceil(size_mm / s)) for s in spacing)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("angle", [0, 90, 200, 315])
@pytest.mark.parametrize("moves", [1, 12])
def test_pushed_from_inside_the_edge_lies_on_the_brush(spacing, angle, moves) -> None:
    shape, middle, size, radius, d = shape_of(160, spacing), np.array([80.0, 80.0]), 30.0, 12.0, 10.0
    bits = distance(shape, spacing, middle) <= size
    way = np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    end = middle + way * (size - radius + d)  # the body then reaches d mm beyond the edge
    places = [middle + t * (end - middle) for t in np.linspace(0, 1, moves + 1)]
    after = drag(bits, spacing, places, radius)
    body = distance(shape, spacing, end) < radius - 1e-6
    added = after & ~bits
    assert not (bits & ~after).any()  # pushed outwards, nothing is lost
    assert (after[body]).all()  # all of the body is structure now
    # In front of the body the edge is its circle: beyond it by less than a voxel.
    beyond = distance(shape, spacing, end)
    row, column = np.nonzero(after)
    along = (np.stack([row * spacing[0], column * spacing[1]], 1) - end) @ way
    front = along >= radius * np.cos(np.radians(50))
    assert front.any()
    assert beyond[after][front].max() <= radius + max(spacing)
    # What was added lies on the way that the body went.
    track = np.min([distance(shape, spacing, middle + t * (end - middle)) for t in np.linspace(0, 1, 60)], axis=0)
    assert track[added].max() <= radius + max(spacing) / 2
    assert np.count_nonzero(after != (bits | (track < radius - 1e-3))) <= 0.02 * np.count_nonzero(added)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("moves", [1, 9])
def test_pushed_from_outside_it_is_the_same_of_the_background(spacing, moves) -> None:
    shape, middle, size, radius, d = shape_of(170, spacing), np.array([85.0, 85.0]), 30.0, 10.0, 8.0
    bits = distance(shape, spacing, middle) <= size
    start, end = middle + np.array([0, size + radius + 6]), middle + np.array([0, size + radius - d])
    places = [start + t * (end - start) for t in np.linspace(0, 1, moves + 1)]
    after = drag(bits, spacing, places, radius)
    body = distance(shape, spacing, end) < radius - 0.01
    taken = bits & ~after
    assert not after[body].any()
    assert np.count_nonzero(after & ~bits) <= 0.08 * np.count_nonzero(taken)  # shoulders that give way
    track = np.min([distance(shape, spacing, start + t * (end - start)) for t in np.linspace(0, 1, 60)], axis=0)
    assert taken.any() and track[taken].max() <= radius + max(spacing) / 2
    at = (middle / spacing).round().astype(int)
    edge = (np.flatnonzero(after[at[0]])[-1] + 0.5) * spacing[1] - 85.0
    assert edge == pytest.approx(size - d, abs=spacing[1])  # the middle of the dent lies on the circle
    others = drag(~bits, spacing, places, radius)
    assert (others == ~after).mean() > 0.999


def test_nothing_jumps_where_it_is_pressed() -> None:
    bits = distance((100, 100), (1, 1), (50, 50)) <= 20
    for place in ((50, 50), (50, 66), (50, 69.4), (50, 71.2), (50, 90), (3, 3), (-5, 40), (120, 120)):
        now = begin(bits, np.eye(2), place, 12.0)
        assert now.outwards == bool(np.hypot(place[0] - 50, place[1] - 50) < 20.5)
        assert 1 <= now.radius_mm <= 12
        still = push(now, place)
        assert np.count_nonzero(still.bits != bits) <= 2  # within half a voxel of the outline
    assert begin(bits, np.eye(2), (50, 64), 12.0).radius_mm == pytest.approx(6, abs=0.6)


def test_a_body_that_touches_nothing_changes_nothing() -> None:
    bits = distance((100, 100), (1, 1), (50, 50)) <= 40
    after = drag(bits, (1, 1), [(50, 50), (50, 60), (60, 50), (40, 44)], 10)
    assert (after == bits).all()


def test_a_hole_and_a_wall_are_pushed_along() -> None:
    bits = distance((120, 160), (1, 1), (60, 60)) <= 45
    bits &= ~(distance((120, 160), (1, 1), (60, 85)) <= 8)  # a hole to the right of the middle
    after = drag(bits, (1, 1), [(60, 60), (60, 66), (60, 72), (60, 80)], 10)
    assert count_parts(after) == count_parts(bits) == (1, 1)
    labels, _ = ndimage.label(~after)
    hole = labels == labels[60, 95] if not after[60, 95] else labels == labels[60, 92]
    assert hole[60].any() and not hole[0, 0]
    assert ndimage.center_of_mass(hole)[1] > 87  # it went along, and not under the body
    wall = np.zeros((80, 80), bool)
    wall[10:70, 38:42] = True
    pushed = drag(wall, (1, 1), [(40, 20), (40, 25), (40, 30), (40, 35), (40, 40), (40, 45), (40, 50)], 8)
    assert count_parts(pushed) == (1, 0)
    assert np.flatnonzero(pushed[40]).min() == pytest.approx(58, abs=1)  # the wall gave way in front of the body
    assert 2 <= np.count_nonzero(pushed[40]) <= 5
    assert (pushed[:20] == wall[:20]).all() and (pushed[60:] == wall[60:]).all()
    small = distance((60, 80), (1, 1), (30, 40)) <= 6
    carried = drag(small, (1, 1), [(30, 22), (30, 27), (30, 32), (30, 37), (30, 42)], 8)
    assert count_parts(carried) == (1, 0) and np.flatnonzero(carried[30]).min() >= 49
    assert np.count_nonzero(carried) > 0.6 * np.count_nonzero(small)


def random_bits(rng, shape, blur):
    field = ndimage.gaussian_filter(rng.normal(size=shape), blur)
    return field > np.quantile(field, rng.uniform(0.3, 0.8))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), blur=st.sampled_from([0.0, 0.8, 2.0, 5.0]), spacing=st.sampled_from(SPACINGS))
def test_parts_and_holes_stay(seed: int, blur: float, spacing: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    bits = random_bits(rng, (36, 40), blur)
    size = np.array(bits.shape) * spacing
    places = rng.uniform(-0.1, 1.1, (rng.integers(2, 4), 2)) * size
    radius = rng.uniform(2, 15)
    limits = [random_bits(rng, bits.shape, 4) if rng.random() < 0.4 else None for _ in range(2)]
    at = [tuple(p / spacing) for p in places]
    now = begin(bits, np.diag(spacing), at[0], radius, *limits)
    for to in at[1:]:
        now = push(now, to)
    assert count_parts(now.bits) == count_parts(bits)
    add, take = limits
    assert add is None or not (now.bits & ~bits & ~add).any()
    assert take is None or not (bits & ~now.bits & ~take).any()
    assert_within_reach(bits, now.bits, spacing, places, radius)


def assert_within_reach(bits, after, spacing, places, radius) -> None:
    changed = bits != after
    if changed.any():
        way = np.concatenate([np.linspace(a, b, 80) for a, b in pairwise(places)])
        near = np.min([distance(bits.shape, spacing, p) for p in way], axis=0)
        assert near[changed].max() <= 2.5 * radius + 4 * max(spacing)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**31), blur=st.sampled_from([0.0, 0.7, 1.5]))
def test_towards_keeps_parts_and_holes_of_any_picture(seed: int, blur: float) -> None:
    rng = np.random.default_rng(seed)
    bits, target = random_bits(rng, (17, 23), blur), random_bits(rng, (17, 23), blur)
    after = towards(bits, target)
    assert count_parts(after) == count_parts(bits)
    assert ((after == bits) | (after == target)).all()


def test_towards_reaches_what_has_the_same_parts() -> None:
    a, b = distance((60, 60), (1, 1), (25, 25)) <= 12, distance((60, 60), (1, 1), (32, 30)) <= 17
    assert (towards(a, b) == b).all() and (towards(b, a) == a).all()
    ring = b & ~(distance((60, 60), (1, 1), (30, 30)) <= 4)
    assert count_parts(towards(ring, b)) == (1, 1) and np.count_nonzero(towards(ring, b) != b) == 1
    edge = np.zeros((5, 9), bool)
    edge[:, :4] = True
    assert towards(edge, np.roll(edge, 2, 1) | edge).sum() == 30  # up to the edge of the image


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_plane_steps_are_the_spacing_and_know_a_shear(axis: int) -> None:
    grid = Grid.from_spacing((5, 6, 7), (3, 1, 2))
    spacing = [s for a, s in enumerate(grid.spacing_mm) if a != axis]
    assert np.abs(plane_steps(grid, axis)) == pytest.approx(np.diag(spacing))
    affine = grid.affine.copy()
    affine[1, 0] += 1.5  # a tilted gantry: slices step towards the back
    steps = plane_steps(Grid(grid.shape, affine), axis)
    columns = affine[:3, [a for a in range(3) if a != axis]]
    assert steps.T @ steps == pytest.approx(columns.T @ columns)


def test_a_move_on_a_large_slice_is_fast() -> None:
    bits = distance((512, 512), (1, 1), (256, 256)) <= 150
    now = begin(bits, np.eye(2), (256, 256), 40.0)
    taken = []
    for column in range(260, 460, 8):
        start = time.process_time()
        now = push(now, (256, column))
        taken.append(time.process_time() - start)
    assert np.median(taken) < 0.016 * 3  # of processor time: three times the aim, for slow machines
