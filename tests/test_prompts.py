"""Prompts on a phantom of known organs: anisotropic voxels, noise, and what must stay as it is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.prompts import REACH_FACTOR, Prompt, changed_box, footprint, geodesic, refine
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

SPACING = (3.0, 1.0, 1.2)
GRID = Grid.from_spacing((24, 96, 100), SPACING)
_MM = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(GRID.shape, SPACING, strict=True)], indexing="ij"), -1)
CENTRE_MM = np.array([33.0, 45.0, 48.0])
CENTRE = tuple(CENTRE_MM / SPACING)
NEAR = {"reach_mm": 15.0}


def ball(centre_mm, radius_mm):
    return np.linalg.norm(_MM - np.asarray(centre_mm), axis=-1) <= radius_mm


ORGAN = ball(CENTRE_MM, 16)
FAR_ORGAN = ball((33, 80, 100), 8)


def volume(contrast=50.0, noise=12.0, seed=1):
    """An organ in fat-like tissue, bone beside it, and a second organ of the same value further off."""
    hu = np.where(ORGAN | FAR_ORGAN, contrast, 0.0) + np.where(ball((33, 45, 76), 8), 700, 0)
    hu = hu + np.random.default_rng(seed).normal(0, noise, GRID.shape)
    return Volume(GRID, np.round(hu).astype(np.int16))


def point(mm, inside=True, axis=0):
    return Prompt("point", inside, axis, (tuple(np.asarray(mm, float) / SPACING),))


def dice(mask, truth):
    bits = mask.dense(GRID.shape)
    return 2 * (bits & truth).sum() / (bits.sum() + truth.sum())


def test_one_click_finds_an_organ():
    found = run(refine(Mask(), volume(), [point(CENTRE_MM)], **NEAR))
    assert dice(found, ORGAN) > 0.93


def test_a_click_adds_the_part_that_is_missing():
    half = ORGAN & (_MM[..., 1] < 42)
    far = FAR_ORGAN & (_MM[..., 0] > 30)
    start = Mask.from_dense(half | far)
    found = run(refine(start, volume(), [point(np.add(CENTRE_MM, (0, 7, 0)))], **NEAR))
    assert dice(start, ORGAN | far) < 0.65
    assert dice(found, ORGAN | far) > 0.93
    assert (found.dense(GRID.shape)[half]).all()


def test_a_click_outside_takes_a_leak_away():
    bone = ball((33, 45, 76), 8)
    start = Mask.from_dense(ORGAN | bone)
    found = run(refine(start, volume(), [point((33, 45, 78), inside=False)], **NEAR))
    bits = found.dense(GRID.shape)
    assert not bits[bone & ~ORGAN].any() or bits[bone & ~ORGAN].mean() < 0.1
    assert bits[ORGAN & ~bone].mean() > 0.97


def test_a_click_outside_in_tissue_of_the_same_value_keeps_the_rest():
    """Nothing in the image tells the parts from each other: what is near the click goes, what is far stays."""
    block = np.zeros(GRID.shape, bool)
    block[4:20, 20:80, 20:80] = True
    flat = Volume(GRID, np.zeros(GRID.shape, np.int16))
    found = run(refine(Mask.from_dense(block), flat, [point((36, 78, 60), inside=False)], reach_mm=6))
    bits = found.dense(GRID.shape)
    gone = block & ~bits
    assert gone[12, 78, 50]
    away = np.linalg.norm(_MM - np.array((36, 78, 60)), axis=-1)[gone]
    assert 3 < away.max() <= 6 * REACH_FACTOR + max(SPACING) / 2


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("kind", ["box", "lasso", "scribble"])
def test_each_kind_finds_the_organ_in_each_plane(kind, axis):
    in_plane = [a for a in range(3) if a != axis]
    reach = {"box": 18.0, "lasso": 18.0, "scribble": 8.0}[kind]
    if kind == "box":
        offsets = [(-reach, -reach), (reach, reach)]
    elif kind == "lasso":
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        offsets = list(zip(reach * np.cos(angle), reach * np.sin(angle), strict=True))
    else:
        offsets = [(-reach, 0), (0, reach / 2), (reach, 0)]
    points = []
    for pair in offsets:
        mm = CENTRE_MM.copy()
        mm[in_plane] += pair
        points.append(tuple(mm / SPACING))
    found = run(refine(Mask(), volume(), [Prompt(kind, True, axis, tuple(points))], **NEAR))
    assert dice(found, ORGAN) > 0.92


def test_a_lasso_outside_takes_its_area_away_on_the_slice():
    start = Mask.from_dense(ORGAN)
    lasso = Prompt("box", False, 0, ((11.0, 30.0, 20.0), (11.0, 44.0, 60.0)))
    found = run(refine(start, volume(), [lasso], reach_mm=4)).dense(GRID.shape)
    offset, bits = footprint(lasso, GRID)
    area = Mask(offset, bits).dense(GRID.shape)
    assert (ORGAN & area).sum() > 200
    assert not found[area].any()
    assert found[ORGAN & (np.abs(_MM[..., 0] - 33) > 4 * REACH_FACTOR + SPACING[0])].all()


def test_prompts_add_up_and_the_later_one_is_right():
    first, second = point(CENTRE_MM), point(CENTRE_MM, inside=False)
    image = volume()
    assert run(refine(Mask(), image, [first, second], **NEAR)).count == 0
    again = run(refine(Mask(), image, [second, first], **NEAR))
    assert dice(again, ORGAN) > 0.9
    two = run(refine(Mask(), image, [first, point((33, 80, 100))], **NEAR))
    assert dice(two, ORGAN | FAR_ORGAN) > 0.92


@pytest.mark.parametrize("seed", range(4))
def test_far_parts_stay_bit_for_bit(seed):
    rng = np.random.default_rng(seed)
    start = Mask.from_dense(ORGAN ^ (rng.random(GRID.shape) < 0.02))
    prompts = [
        Prompt(
            "point", bool(rng.integers(2)), int(rng.integers(3)), (tuple(rng.random(3) * np.subtract(GRID.shape, 1)),)
        )
        for _ in range(3)
    ]
    reach = 6.0
    after = run(refine(start, volume(seed=seed), prompts, reach_mm=reach))
    changed = after.dense(GRID.shape) ^ start.dense(GRID.shape)
    nearest = np.min([np.linalg.norm(_MM - np.array(p.points[0]) * SPACING, axis=-1) for p in prompts], axis=0)
    # A click lies somewhere in its voxel.
    assert not changed[nearest > reach * REACH_FACTOR + np.linalg.norm(SPACING) / 2].any()
    for p in prompts:
        z, y, x = (round(v) for v in p.points[0])
        if not any(q is not p and np.allclose(q.points, p.points, atol=3) for q in prompts):
            assert after.dense(GRID.shape)[z, y, x] == p.inside


def test_the_models_probability_says_how_far_a_click_goes():
    """Tissue of one value round a click: it goes further where the model thinks the structure likely."""
    flat = Volume(GRID, np.zeros(GRID.shape, np.int16))
    likely = np.where(_MM[..., 1] < 45, 0.6, 0.0).astype(np.float32)
    prompt = [point((33, 45, 48))]
    plain = run(refine(Mask(), flat, prompt, reach_mm=8)).dense(GRID.shape)
    told = run(refine(Mask(), flat, prompt, reach_mm=8, probability=lambda box: likely[box])).dense(GRID.shape)
    here = _MM[..., 1] < 45
    assert told[here].sum() > 1.05 * plain[here].sum()
    assert 0.3 * plain[~here].sum() < told[~here].sum() < 0.9 * plain[~here].sum()


def test_on_the_edge_of_the_grid_and_off_it():
    image = volume()
    corner = Prompt("point", True, 0, ((0.0, 0.0, 0.0),))
    assert run(refine(Mask(), image, [corner], reach_mm=5)).dense(GRID.shape)[0, 0, 0]
    off = Prompt("box", True, 0, ((40.0, 1.0, 1.0), (40.0, 9.0, 9.0)))
    assert run(refine(Mask(), image, [off], reach_mm=5)).is_empty
    assert run(refine(Mask.from_dense(ORGAN), image, [])).equals(Mask.from_dense(ORGAN))


def test_geodesic_is_the_distance_where_nothing_costs_more():
    seeds = np.zeros(GRID.shape, bool)
    seeds[11, 45, 40] = True
    way = geodesic(np.ones(GRID.shape, np.float32), seeds, SPACING, 20.0)
    true = np.linalg.norm(_MM - _MM[11, 45, 40], axis=-1)
    near = true < 17
    assert np.abs(way - true)[near].max() < 2.5
    assert (way[true > 20] == np.inf).all()
    assert (way[seeds] == 0).all()


def test_footprints_lie_on_their_slice():
    for axis, kind in itertools.product(range(3), ("box", "lasso", "scribble")):
        points = [[8.0, 20.0, 30.0], [14.0, 28.0, 38.0], [8.0, 28.0, 42.0], [14.0, 20.0, 42.0]]
        for p in points:
            p[axis] = 11.0
        taken = points[:2] if kind == "box" else points
        offset, bits = footprint(Prompt(kind, True, axis, tuple(tuple(p) for p in taken)), GRID)
        assert bits.any() and bits.shape[axis] == 1 and offset[axis] == 11


def test_changed_box():
    a, b = Mask.from_dense(ORGAN), Mask.from_dense(ORGAN | FAR_ORGAN)
    box = changed_box(a, b)
    where = np.argwhere(FAR_ORGAN & ~ORGAN)
    assert [s.start for s in box] == where.min(axis=0).tolist()
    assert [s.stop - 1 for s in box] == where.max(axis=0).tolist()
    assert changed_box(a, a) is None and changed_box(Mask(), Mask()) is None
