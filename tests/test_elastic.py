"""Elastic deformation is the paper's, and image and labels move together."""

import numpy as np
import pytest
import torch

from contourdesk.inference.elastic import elastic_displacement, inside, sample_tile, turn_and_scale
from contourdesk.inference.overlap_tile import mirrored


def still(*size: int) -> torch.Tensor:
    return torch.zeros(2, *size)


def test_nothing_moves_without_displacement():
    plane = torch.randn(30, 41)
    labels = torch.randint(0, 5, (30, 41), dtype=torch.int16)
    for top, left, size in ((3, 4, (9, 8)), (-50, -70, (120, 160)), (-92, -92, (204, 220))):
        expected = mirrored(plane, top, left, size)
        torch.testing.assert_close(sample_tile(plane, top, left, still(*size), False), expected, rtol=0, atol=2e-4)
        assert torch.equal(sample_tile(labels, top, left, still(*size), True), mirrored(labels, top, left, size))


def test_displacement_is_10_pixels_on_a_3_x_3_grid():
    rng = np.random.default_rng(0)
    fields = torch.stack([elastic_displacement((41, 61), rng) for _ in range(400)])
    assert fields.shape == (400, 2, 41, 61)
    nodes = fields[:, :, ::20, ::30]  # the bicubic surface goes through the grid's vectors
    assert nodes.shape[2:] == (3, 3)
    assert nodes.std().item() == pytest.approx(10, rel=0.03)
    assert nodes.mean().item() == pytest.approx(0, abs=0.5)
    between = torch.corrcoef(nodes.flatten(1).T)
    assert (between - torch.eye(18)).abs().max() < 0.25  # independent of each other
    assert fields.diff(dim=3).abs().max() < 4  # and smooth in between


def test_image_and_labels_move_together():
    rng = np.random.default_rng(3)
    rows, columns = torch.meshgrid(torch.arange(80.0), torch.arange(90.0), indexing="ij")
    image = torch.sin(rows / 9) + torch.cos(columns / 7)
    labels = (image > 0.4).to(torch.int16)
    bend = elastic_displacement((100, 100), rng) + turn_and_scale((100, 100), 0.2, 1.1)
    moved = sample_tile(image, -5, -5, bend, nearest=False)
    moved_labels = sample_tile(labels, -5, -5, bend, nearest=True)
    assert moved_labels.dtype == labels.dtype
    clear = (moved - 0.4).abs() > 0.1
    assert torch.equal((moved > 0.4)[clear], moved_labels[clear] == 1)
    assert (moved_labels != labels[0, 0]).any()


def test_turning_is_a_rotation():
    moved = turn_and_scale((21, 31), np.pi / 2, 2.0)
    assert moved[:, 10, 15].abs().max() < 1e-5  # the centre stays
    np.testing.assert_allclose(moved[:, 10, 20], [-10, -5], atol=1e-5)  # 5 to the right becomes 10 up


def test_mirror_images_are_outside():
    mask = inside((10, 12), -3, -2, still(16, 20))
    assert mask.sum() == 120
    assert mask[3:13, 2:14].all()
