"""Flood fill and ranges of values: against SimpleITK's filters and areas that are known."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from contourdesk.app.errors import UserError
from contourdesk.app.footprints import disc
from contourdesk.app.geometry import Grid
from contourdesk.app.regions import between, flood, slab
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

SPACING = (3.0, 0.9, 1.4)
GRID = Grid.from_spacing((14, 40, 36), SPACING)
_MM = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(GRID.shape, SPACING, strict=True)], indexing="ij"), -1)


def blotches(seed=0):
    """An image with connected parts of every shape."""
    noise = np.random.default_rng(seed).normal(0, 1, GRID.shape)
    return Volume(GRID, np.round(300 * ndimage.gaussian_filter(noise, (0.8, 2, 2))).astype(np.int16))


def dense(patch):
    return Mask(*patch).dense(GRID.shape)


def outside_hand(volume, seed, tolerance):
    """SimpleITK's own flood."""
    image = sitk.GetImageFromArray(volume.array)
    value = int(volume.array[seed])
    found = sitk.ConnectedThreshold(image, [tuple(reversed(seed))], value - tolerance, value + tolerance)
    return sitk.GetArrayFromImage(found).astype(bool)


@pytest.mark.parametrize("seed", [(7, 20, 18), (0, 0, 0), (13, 39, 35), (3, 8, 30)])
@pytest.mark.parametrize("tolerance", [0, 15, 40])
def test_the_same_as_connected_threshold(seed, tolerance):
    volume = blotches()
    found = flood(volume, seed, tolerance, radius_mm=1000.0)
    assert np.array_equal(dense(found.patch), outside_hand(volume, seed, tolerance))
    assert not found.stopped


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_on_one_plane_the_same_as_connected_threshold(axis):
    volume, seed = blotches(1), (7, 20, 18)
    found = flood(volume, seed, 30, radius_mm=1000.0, slice_axis=axis)
    plane = np.take(volume.array, seed[axis], axis)
    flat = tuple(i for a, i in enumerate(seed) if a != axis)
    value = int(volume.array[seed])
    image = sitk.GetImageFromArray(np.ascontiguousarray(plane))
    expected = sitk.GetArrayFromImage(sitk.ConnectedThreshold(image, [tuple(reversed(flat))], value - 30, value + 30))
    assert np.array_equal(np.take(dense(found.patch), seed[axis], axis), expected.astype(bool))
    assert dense(found.patch).sum() == expected.sum()


def test_a_leak_ends_at_the_radius():
    """A flat image leaks everywhere: the flood is the ball, in mm, and says that it was stopped."""
    volume = Volume(GRID, np.full(GRID.shape, 40, np.int16))
    seed = (7, 20, 18)
    found = flood(volume, seed, 10, radius_mm=9.0)
    ball = np.linalg.norm(_MM - _MM[seed], axis=-1) <= 9.0
    assert np.array_equal(dense(found.patch), ball)
    assert found.stopped
    flat = flood(volume, seed, 10, radius_mm=9.0, slice_axis=1)
    ball[:, :20] = ball[:, 21:] = False
    assert np.array_equal(dense(flat.patch), ball) and flat.stopped


def test_a_part_that_ends_by_itself_was_not_stopped():
    hu = np.zeros(GRID.shape, np.int16)
    hu[5:9, 16:25, 15:22] = 100
    found = flood(Volume(GRID, hu), (7, 20, 18), 20, radius_mm=30.0)
    assert np.array_equal(dense(found.patch), hu == 100)
    assert not found.stopped
    with pytest.raises(UserError):
        flood(Volume(GRID, hu), (7, 40, 18), 20, radius_mm=30.0)


def test_a_slab_is_as_deep_as_asked():
    volume = blotches()
    area = disc(GRID, (7.0, 20.0, 18.0), 6.0, 0)
    one = np.take(dense(area), 7, 0)
    for depth, slices in ((0.0, [7]), (2.9, [7]), (3.0, [6, 7, 8]), (7.0, [5, 6, 7, 8, 9]), (99.0, range(14))):
        got = dense(slab(area, volume, 0, depth))
        assert [k for k in range(14) if got[k].any()] == list(slices)
        assert all(np.array_equal(got[k], one) for k in slices)
    sideways = dense(slab(disc(GRID, (7.0, 20.0, 18.0), 6.0, 2), volume, 2, 3.0))
    assert np.flatnonzero(sideways.any(axis=(0, 1))).tolist() == [16, 17, 18, 19, 20]


def test_between_takes_both_ends():
    volume = Volume(GRID, np.arange(np.prod(GRID.shape)).reshape(GRID.shape).astype(np.int32) % 200)
    region = disc(GRID, (7.0, 20.0, 18.0), 12.0, 0)
    got = dense(between(volume, region, 40, 60))
    assert np.array_equal(got, dense(region) & (volume.array >= 40) & (volume.array <= 60))
    with pytest.raises(UserError):
        between(volume, region, 60, 40)
