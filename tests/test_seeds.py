"""Grow from seeds: known organs, voxels of any shape, and scikit-image's watershed as an outside hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import watershed

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.seeds import grow_from_seeds
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

SPACING = (3.0, 1.0, 1.3)
GRID = Grid.from_spacing((20, 70, 64), SPACING)
_MM = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(GRID.shape, SPACING, strict=True)], indexing="ij"), -1)


def ball(centre_mm, radius_mm):
    return np.linalg.norm(_MM - np.array(centre_mm), axis=-1) <= radius_mm


A, B = ball((28, 25, 40), 14), ball((28, 50, 40), 13)


def image(noise=8.0):
    """Two organs side by side in fat."""
    hu = np.where(A, 60.0, np.where(B, 20.0, -80.0)) + np.random.default_rng(0).normal(0, noise, GRID.shape)
    return Volume(GRID, np.round(hu).astype(np.int16))


def dice(mask, truth):
    bits = mask.dense(GRID.shape)
    return 2 * (bits & truth).sum() / (bits.sum() + truth.sum())


def test_two_seeds_share_the_tissue_between_them():
    first, second = ball((28, 25, 40), 6), ball((28, 50, 40), 6)
    fat = ball((28, 25, 16), 3) | ball((28, 55, 62), 3)
    seeds, others = Mask.from_dense(first), [Mask.from_dense(second), Mask.from_dense(fat)]
    assert dice(run(grow_from_seeds(seeds, others, image(), reach_mm=25)), A) > 0.93
    assert dice(run(grow_from_seeds(others[0], [seeds, others[1]], image(), reach_mm=25)), B & ~A) > 0.9


def test_seeds_stay_and_nothing_lies_beyond_the_reach():
    seeds = Mask.from_dense(ball((28, 25, 40), 5) | ball((28, 25, 62), 2))
    other = Mask.from_dense(B)
    grown = run(grow_from_seeds(seeds, [other], image(), reach_mm=9)).dense(GRID.shape)
    mine = seeds.dense(GRID.shape)
    assert grown[mine].all()
    assert not grown[B & ~mine].any()
    away = ndimage.distance_transform_edt(~mine, SPACING)
    assert not grown[away > 9].any()


def test_the_same_as_scikit_image():
    """The flooding itself, on the same heights and markers (SimpleITK does it here)."""
    volume = image(20.0)
    seeds, other = ball((28, 25, 40), 4), ball((28, 50, 40), 4)
    grown = run(grow_from_seeds(Mask.from_dense(seeds), [Mask.from_dense(other)], volume, reach_mm=1000, smooth_mm=2))
    values = volume.array.astype(np.float32)
    sigma = [max(2 / s, 0.5) for s in SPACING]
    slope = np.sqrt(
        sum(
            (ndimage.gaussian_filter(values, sigma, [int(a == axis) for a in range(3)], mode="nearest") / step) ** 2
            for axis, step in enumerate(SPACING)
        )
    )
    height = np.minimum(slope * (4000 / np.percentile(slope, 99.5)), 4000).astype(np.uint16)
    expected = watershed(height, np.where(seeds, 1, np.where(other, 2, 0)), connectivity=1) == 1
    assert (grown.dense(GRID.shape) != expected).mean() < 1e-3


def test_nothing_to_grow_from():
    with pytest.raises(UserError):
        run(grow_from_seeds(Mask(), [], image(), reach_mm=10))


def test_a_flat_image_is_shared_half_and_half():
    flat = Volume(GRID, np.zeros(GRID.shape, np.int16))
    left, right = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    left[:, 10], right[:, 59] = True, True
    grown = run(grow_from_seeds(Mask.from_dense(left), [Mask.from_dense(right)], flat, reach_mm=100)).dense(GRID.shape)
    assert grown[:, :34].all() and not grown[:, 36:].any()
