"""Training patches: random place, rotation, scale, mirroring with left and right swapped, intensity changes.

Everything works on one case at a time, image (z, y, x) float32 in normalised HU, labels (z, y, x) int16.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contourdesk.inference.losses import IGNORE


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the random changes; probabilities are per patch. `elastic_px`: of slices only, see `elastic`."""

    rotation_degrees: float = 12.0
    scale: tuple[float, float] = (0.82, 1.2)
    p_spatial: float = 0.6
    p_mirror: float = 0.5
    p_noise: float = 0.15
    p_blur: float = 0.15
    p_contrast: float = 0.3
    p_gamma: float = 0.25
    p_low_resolution: float = 0.15
    p_blank: float = 0.15
    elastic_px: float = 10.0


def cut_patch(
    image: Tensor,
    labels: Tensor,
    centre: np.ndarray,
    patch: tuple[int, int, int],
    air: float,
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
    how: Augmentation,
) -> tuple[Tensor, Tensor]:
    """Cut one randomly rotated and scaled patch round `centre` (voxels, z y x).

    Outside the volume the image is air and the labels are IGNORE. Rotation is exact in millimetres, so that
    anisotropic voxels are not sheared.
    """
    angles = np.zeros(3)
    zoom = 1.0
    if rng.random() < how.p_spatial:
        angles = np.deg2rad(rng.uniform(-how.rotation_degrees, how.rotation_degrees, 3))
        zoom = float(np.exp(rng.uniform(*np.log(how.scale))))
    half = (np.array(patch) - 1) / 2
    if not angles.any() and zoom == 1.0:
        start = np.round(centre - half).astype(int)
        return _crop(image, start, patch, air).float(), _crop(labels, start, patch, IGNORE)
    rotation = _rotation(angles) * zoom
    spacing = np.array(spacing_mm)
    matrix = rotation * spacing[None, :] / spacing[:, None]  # voxel offset in the patch -> voxel offset in the volume
    # Only the part of the volume that the patch reaches is looked at; a whole CT takes long.
    reach = np.abs(matrix) @ half + 1
    low = np.clip(np.floor(centre - reach).astype(int), 0, np.array(image.shape) - 1)
    high = np.clip(np.ceil(centre + reach).astype(int) + 1, low + 1, image.shape)
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    image, labels, centre = image[part].float(), labels[part], centre - low
    shape = np.array(image.shape)
    # torch's grid: coordinates in x y z order, -1..1 from first to last voxel centre (align_corners=True)
    to_unit = 2.0 / np.maximum(shape - 1, 1)
    theta = np.zeros((3, 4))
    theta[:, :3] = (matrix * half[None, :]) * to_unit[:, None]
    theta[:, 3] = centre * to_unit - 1
    theta = theta[::-1][:, [2, 1, 0, 3]].copy()
    grid = F.affine_grid(torch.from_numpy(theta).float()[None], [1, 1, *patch], align_corners=True)
    img = F.grid_sample(image[None, None] - air, grid, "bilinear", "zeros", align_corners=True)[0, 0] + air
    lab = F.grid_sample(labels[None, None].float() - IGNORE, grid, "nearest", "zeros", align_corners=True)[0, 0]
    return img, (lab + IGNORE).round().to(torch.int16)


def mirror_left_right(image: Tensor, labels: Tensor, swap: Mapping[int, int]) -> tuple[Tensor, Tensor]:
    """Mirror along x (the patient's left-right axis) and swap the labels of paired organs.

    `swap` gives what each label becomes; 0 for an organ of one side whose other one has no label. It is unknown in
    the mirror image, see `mirror_known`.
    """
    flipped = labels.flip(-1)
    out = flipped.clone()
    for a, b in swap.items():
        out[flipped == a] = b
    return image.flip(-1), out


def mirror_known(known: Tensor, swap: Mapping[int, int]) -> Tensor:
    """Which organs (classes,) are known in the mirror image."""
    out = known.clone()
    out[list(swap)] = False
    for a, b in swap.items():
        if b:
            out[b] = known[a]
    return out


def blank_outside_organs(image: Tensor, labels: Tensor, air: float, rng: np.random.Generator) -> Tensor:
    """Blank everything but the contoured organs and a margin of one or two voxels, above or below a random slice.

    Some public planning CTs come like that (OpenKBP; its margin is up to 10 mm). Blanked slices themselves are never
    trained on; this keeps the network steady when it meets them. Without the margin it would learn that the whole
    of such an island is the organ.
    """
    cut = int(rng.integers(1, image.shape[0] - 1))
    part = slice(0, cut) if rng.random() < 0.5 else slice(cut, None)
    out = image.clone()
    margin = int(rng.integers(1, 3))
    organs = (labels[part] > 0).float()[:, None]
    keep = F.max_pool2d(organs, 2 * margin + 1, stride=1, padding=margin)[:, 0] > 0
    out[part] = torch.where(keep, image[part], torch.full_like(image[part], air))
    return out


def change_intensity(image: Tensor, air: float, rng: np.random.Generator, how: Augmentation) -> Tensor:
    """Noise, blur, contrast, gamma and simulated low resolution, after nnU-Net's defaults but milder."""
    out = image
    if rng.random() < how.p_noise:
        out = out + torch.from_numpy(rng.normal(0, rng.uniform(0, 0.15), out.shape).astype(np.float32))
    if rng.random() < how.p_blur:
        out = _blur(out, float(rng.uniform(0.5, 0.9)))
    if rng.random() < how.p_contrast:
        mean = out.mean()
        out = (out - mean) * float(rng.uniform(0.8, 1.25)) + mean + float(rng.normal(0, 0.1))
    if rng.random() < how.p_low_resolution:
        zoom = float(rng.uniform(0.55, 1.0))
        size = [max(8, round(n * zoom)) for n in out.shape]
        small = F.interpolate(out[None, None], size=size, mode="nearest")
        out = F.interpolate(small, size=out.shape, mode="trilinear", align_corners=False)[0, 0]
    if rng.random() < how.p_gamma:
        low, span = out.min(), (out.max() - out.min()).clamp(min=1e-5)
        mean, std = out.mean(), out.std()
        out = ((out - low) / span) ** float(rng.uniform(0.75, 1.4))
        out = (out - out.mean()) / out.std().clamp(min=1e-5) * std + mean
    return out


def _crop(volume: Tensor, start: np.ndarray, patch: tuple[int, int, int], fill: float) -> Tensor:
    out = torch.full(patch, fill, dtype=volume.dtype)
    lo = np.maximum(start, 0)
    hi = np.minimum(start + np.array(patch), volume.shape)
    if (hi > lo).all():
        src = tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))
        dst = tuple(slice(a - s, b - s) for a, b, s in zip(lo, hi, start, strict=True))
        out[dst] = volume[src]
    return out


def _rotation(angles: np.ndarray) -> np.ndarray:
    (cz, sz), (cy, sy), (cx, sx) = ((math.cos(a), math.sin(a)) for a in angles)
    about_z = np.array([[1, 0, 0], [0, cz, -sz], [0, sz, cz]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[cx, -sx, 0], [sx, cx, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def _blur(volume: Tensor, sigma: float) -> Tensor:
    taps = torch.exp(-(torch.arange(-2, 3).float() ** 2) / (2 * sigma**2))
    taps = taps / taps.sum()
    out = F.pad(volume[None, None], [2] * 6, mode="replicate")
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = 5
        out = F.conv3d(out, taps.view(shape))
    return out[0, 0]
