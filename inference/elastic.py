"""Tiles for training on slices: mirrored at the slice's borders, turned, scaled and bent, image and labels alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 3
SIGMA_PX = 10.0


def elastic_displacement(
    size: Sequence[int], rng: np.random.Generator, sigma_px: float = SIGMA_PX, grid: int = GRID
) -> Tensor:
    """Random smooth displacement of every pixel, (2, y, x) float32 in pixels (y first).

    Random vectors on a coarse 3 x 3 grid (corners, middles of the sides, centre), Gaussian with a deviation of
    10 pixels, are interpolated bicubically: "Data Augmentation" in the paper of the 2015 U-Net.
    """
    coarse = torch.from_numpy(rng.normal(0, sigma_px, (1, 2, grid, grid)).astype(np.float32))
    return F.interpolate(coarse, size=tuple(size), mode="bicubic", align_corners=True)[0]


def turn_and_scale(size: Sequence[int], angle: float, zoom: float) -> Tensor:
    """Displacement (2, y, x) in pixels that turns by `angle` (radians) and scales by `zoom` about the centre."""
    y, x = (torch.arange(n) - (n - 1) / 2 for n in size)
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([c * rows - s * columns - rows, s * rows + c * columns - columns]).float()


def sample_tile(plane: Tensor, top: float, left: float, displacement: Tensor, nearest: bool) -> Tensor:
    """Tile (y, x) whose pixel (i, j) shows `plane` (y, x) at ``(top + i, left + j) + displacement[:, i, j]``.

    The plane is mirrored at its borders as often as need be. Linear between pixels, or the nearest one (for labels).
    """
    where = _positions(top, left, displacement)
    shape = torch.tensor(plane.shape, dtype=torch.float32)
    unit = 2 * where / (shape - 1).clamp(min=1) - 1  # -1 .. 1 from the first pixel's centre to the last one's
    mode = "nearest" if nearest else "bilinear"
    out = F.grid_sample(
        plane[None, None].float(), unit.flip(-1)[None], mode, padding_mode="reflection", align_corners=True
    )
    return out[0, 0].round().to(plane.dtype) if nearest else out[0, 0]


def inside(shape: Sequence[int], top: float, left: float, displacement: Tensor) -> Tensor:
    """Whether pixels of a tile (`sample_tile`) lie in a plane of this `shape`, not in its mirror image; bool (y, x)."""
    where = _positions(top, left, displacement)
    last = torch.tensor(shape, dtype=torch.float32) - 0.5
    return ((where >= -0.5) & (where < last)).all(dim=-1)


def _positions(top: float, left: float, displacement: Tensor) -> Tensor:
    """(y, x, 2): row and column in the plane."""
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in displacement.shape[1:]), indexing="ij")
    return torch.stack([rows + top, columns + left], dim=-1).float() + displacement.permute(1, 2, 0)
