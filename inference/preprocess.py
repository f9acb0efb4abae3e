"""nnU-Net's preprocessing: crop, normalise, resample, and the exact way back.

Arrays are (z, y, x) or (channels, z, y, x); spacings are mm in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# nnU-Net resamples the slice axis apart (nearest neighbour) when it is this much coarser than the others.
ANISO_THRESHOLD = 3.0


def ct_normalise(hu: np.ndarray, properties: Mapping[str, float]) -> np.ndarray:
    """Clip to the training set's 0.5 and 99.5 foreground percentiles, then z-score with its mean and deviation.

    Source: nnU-Net ``CTNormalization``. Returns float32.
    """
    out = np.clip(hu.astype(np.float32), properties["percentile_00_5"], properties["percentile_99_5"])
    out -= np.float32(properties["mean"])
    out /= np.float32(max(properties["std"], 1e-8))
    return out


def resampled_shape(shape: Sequence[int], spacing: Sequence[float], new_spacing: Sequence[float]) -> tuple[int, ...]:
    """Shape after resampling (nnU-Net ``compute_new_shape``)."""
    return tuple(round(n * s / t) for n, s, t in zip(shape, spacing, new_spacing, strict=True))


def resample(
    data: np.ndarray, new_shape: Sequence[int], spacing: Sequence[float], new_spacing: Sequence[float], order: int
) -> np.ndarray:
    """Resample (channels, z, y, x) to `new_shape` as nnU-Net's ``resample_data_or_seg_to_shape`` does.

    Spline `order` in the plane; when one axis is more than three times as coarse as another, that axis is taken
    apart with nearest neighbour (``order_z = 0``).
    """
    new_shape = tuple(int(n) for n in new_shape)
    if tuple(data.shape[1:]) == new_shape:
        return data
    axis = _lowres_axis(spacing, new_spacing)
    return np.stack([_resample_one(channel, new_shape, axis, order) for channel in data])


def _lowres_axis(spacing: Sequence[float], new_spacing: Sequence[float]) -> int | None:
    for candidate in (spacing, new_spacing):
        s = np.asarray(candidate)
        if s.max() / s.min() > ANISO_THRESHOLD:
            lowres = np.flatnonzero(np.isclose(s, s.max()))
            return int(lowres[0]) if len(lowres) == 1 else None
    return None


def _resample_one(volume: np.ndarray, new_shape: tuple[int, ...], axis: int | None, order: int) -> np.ndarray:
    from skimage.transform import resize

    volume = volume.astype(np.float32)
    if axis is None:
        return np.asarray(resize(volume, new_shape, order, mode="edge", clip=True, anti_aliasing=False), np.float32)
    plane = tuple(n for i, n in enumerate(new_shape) if i != axis)
    slices = np.moveaxis(volume, axis, 0)
    done = np.stack([resize(s, plane, order, mode="edge", clip=True, anti_aliasing=False) for s in slices])
    n_new, n_old = new_shape[axis], slices.shape[0]
    if n_new != n_old:
        where = np.round((np.arange(n_new) + 0.5) * n_old / n_new - 0.5).clip(0, n_old - 1).astype(int)
        done = done[where]
    return np.moveaxis(done, 0, axis).astype(np.float32)
