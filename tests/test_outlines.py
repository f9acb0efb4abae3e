"""Outlines for the screen: every voxel centre on its side, holes open, as large as the voxels, in all planes."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import points_in_poly

from contourdesk.app.geometry import Grid
from contourdesk.app.outlines import slice_outlines
from contourdesk.app.structures import Mask

GRID = Grid.from_spacing((12, 40, 44), (3, 1, 0.8))


def blobs(seed, share):
    rng = np.random.default_rng(seed)
    coarse = rng.random((4, 8, 11)) < share
    bits = np.kron(coarse, np.ones((3, 5, 4), bool))
    bits &= rng.random(bits.shape) < 0.95  # holes, notches, corners that touch
    return Mask.from_dense(bits)


def filled(loops, shape):
    at = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 2)
    inside = np.zeros(len(at), bool)
    for loop in loops:
        inside ^= points_in_poly(at, loop)
    return inside.reshape(shape)


@pytest.mark.parametrize("name", ["axial", "sagittal", "coronal"])
def test_every_centre_is_on_its_side_for_many_masks_at_once(name):
    plane = GRID.view(name)
    masks = [blobs(1, 0.3), Mask(), blobs(2, 0.6), Mask.from_dense(np.ones((2, 3, 3), bool), (0, 0, 0))]
    for index in range(0, GRID.shape[plane.slice_axis], 3):
        found = slice_outlines(masks, plane, index)
        for mask, loops in zip(masks, found, strict=True):
            flat = mask.dense(GRID.shape).take(index, plane.slice_axis)
            flat = flat.T if plane.vertical_axis > plane.horizontal_axis else flat
            assert (filled(loops, flat.shape) == flat).all()


def test_a_circle_is_round_and_as_large_as_its_voxels():
    plane = GRID.view("axial")
    y, x = np.mgrid[:40, :44]
    bits = np.zeros(GRID.shape, bool)
    bits[4] = np.hypot(y - 19.3, x - 21.1) <= 14
    (loop,) = slice_outlines([Mask.from_dense(bits)], plane, 4)[0]
    away = np.hypot(loop[:, 0] - 19.3, loop[:, 1] - 21.1)
    assert away.max() - away.min() < 0.7  # the staircase has a whole voxel
    after = np.roll(loop, -1, axis=0)
    area = abs((loop[:, 1] * after[:, 0] - after[:, 1] * loop[:, 0]).sum() / 2)
    assert area == pytest.approx(bits.sum(), rel=0.01)


def test_nothing_in_the_slice():
    plane = GRID.view("axial")
    assert slice_outlines([Mask(), blobs(1, 0.3)], plane, -1) == [[], []]
    assert slice_outlines([], plane, 0) == []
