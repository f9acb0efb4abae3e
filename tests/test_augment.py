"""Training patches keep image and labels together, and left and right right."""

import numpy as np
import pytest
import torch

from contourdesk.inference.augment import (
    Augmentation,
    blank_outside_organs,
    change_intensity,
    cut_patch,
    mirror_left_right,
)
from contourdesk.inference.losses import IGNORE

SPACING = (3.0, 1.0, 2.0)


@pytest.fixture
def ball() -> tuple[torch.Tensor, torch.Tensor]:
    """An image that is 1 inside a ball of 12 mm round voxel (10, 30, 15), and its label."""
    z, y, x = np.meshgrid(*[np.arange(n) for n in (20, 60, 30)], indexing="ij")
    inside = ((z - 10) * 3.0) ** 2 + (y - 30.0) ** 2 + ((x - 15) * 2.0) ** 2 < 12**2
    return torch.from_numpy(inside.astype(np.float32)), torch.from_numpy(inside.astype(np.int16))


def test_without_change_it_is_a_plain_crop(ball):
    image, labels = ball
    still = Augmentation(p_spatial=0.0)
    centre = np.array([9.5, 29.5, 14.5])
    patch, lab = cut_patch(image, labels, centre, (8, 16, 8), 0.0, SPACING, np.random.default_rng(0), still)
    assert torch.equal(patch, image[6:14, 22:38, 11:19])
    assert torch.equal(lab, labels[6:14, 22:38, 11:19])


def test_outside_the_volume_is_air_and_ignored(ball):
    image, labels = ball
    still = Augmentation(p_spatial=0.0)
    rng = np.random.default_rng(0)
    patch, lab = cut_patch(image, labels, np.zeros(3), (8, 8, 8), -3.0, SPACING, rng, still)
    assert patch[0, 0, 0] == -3.0
    assert lab[0, 0, 0] == IGNORE


def test_rotation_is_rigid_in_millimetres(ball):
    """A ball stays a ball of the same volume though the voxels are anisotropic."""
    image, labels = ball
    turned = Augmentation(p_spatial=1.0, rotation_degrees=45.0, scale=(1.0, 1.0 + 1e-9))
    rng = np.random.default_rng(3)
    for _ in range(5):
        centre = np.array([10.0, 30.0, 15.0])
        patch, lab = cut_patch(image, labels, centre, (19, 59, 29), 0.0, SPACING, rng, turned)
        assert abs(float((lab == 1).sum()) - float(labels.sum())) < 0.05 * float(labels.sum())
        both = float(((patch > 0.5) & (lab == 1)).sum())
        assert 2 * both / float((patch > 0.5).sum() + (lab == 1).sum()) > 0.95  # linear against nearest: edges differ


def test_mirroring_swaps_the_sides():
    labels = torch.zeros(2, 2, 6, dtype=torch.int16)
    labels[..., 0] = 3
    labels[..., 5] = 4
    labels[..., 2] = 1
    _, out = mirror_left_right(torch.zeros(2, 2, 6), labels, {3: 4, 4: 3})
    assert (out[..., 0] == 3).all()
    assert (out[..., 5] == 4).all()
    assert (out[..., 3] == 1).all()


def test_blanking_keeps_the_organs(ball):
    image, labels = ball
    out = blank_outside_organs(image + 5, labels, -9.0, np.random.default_rng(0))
    assert torch.equal(out[labels > 0], (image + 5)[labels > 0])
    blank = (out == -9.0).all(dim=1).all(dim=1)
    assert blank.any(), "slices without an organ are all air"
    cut = [z for z in range(len(out)) if (out[z] == -9.0).any() and (labels[z] > 0).any()]
    assert cut, "slices with an organ keep it and a margin"
    kept = (out != -9.0) & (labels == 0)
    assert all(0 < int(kept[z].sum()) < 500 for z in cut)


def test_intensity_changes_keep_shape_and_stay_finite(ball):
    image, _ = ball
    everything = Augmentation(p_noise=1, p_blur=1, p_contrast=1, p_gamma=1, p_low_resolution=1)
    out = change_intensity(image, 0.0, np.random.default_rng(0), everything)
    assert out.shape == image.shape
    assert torch.isfinite(out).all()
