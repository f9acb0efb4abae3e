"""nnU-Net's preprocessing: crop, normalise, resample, and the exact way back.

Arrays are (z, y, x) or (channels, z, y, x); spacings are mm in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box, whole_box
from contourdesk.app.structures import tight_box

Array = NDArray[np.float32]
Shape = tuple[int, int, int]

# nnU-Net resamples the slice axis apart (nearest neighbour) when it is this much coarser than the others.
ANISO_THRESHOLD = 3.0
NORMALISATIONS = ("CTNormalization", "ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization")


def nonzero_box(array: NDArray[np.generic]) -> Box:
    """The box round everything that is not zero, the whole array when nothing is (nnU-Net ``crop_to_nonzero``)."""
    return tight_box(np.asarray(array != 0)) or whole_box(array.shape)


def ct_normalise(hu: NDArray[np.generic], properties: Mapping[str, float]) -> Array:
    """Clip to the training set's 0.5 and 99.5 foreground percentiles, then z-score with its mean and deviation.

    Source: nnU-Net ``CTNormalization``. Returns float32.
    """
    out = hu.astype(np.float32)
    np.clip(out, properties["percentile_00_5"], properties["percentile_99_5"], out=out)
    out -= np.float32(properties["mean"])
    out /= np.float32(max(properties["std"], 1e-8))
    return out


def normalise(array: NDArray[np.generic], scheme: str, properties: Mapping[str, float]) -> Array:
    """Normalise (z, y, x) by the scheme that ``plans.json`` names; float32.

    Raises
    ------
    UserError : a scheme that is not in `NORMALISATIONS`.
    """
    if scheme == "CTNormalization":
        return ct_normalise(array, properties)
    out = array.astype(np.float32)
    if scheme == "ZScoreNormalization":
        mean, deviation = out.mean(), out.std()
        out -= mean
        out /= max(deviation, np.float32(1e-8))
        return out
    if scheme == "RescaleTo01Normalization":
        out -= out.min()
        out /= max(out.max(), np.float32(1e-8))
        return out
    if scheme == "NoNormalization":
        return out
    raise UserError(
        f"The model normalises its input by '{scheme}', which Contourdesk does not know.",
        f"Use a model with one of: {', '.join(NORMALISATIONS)}.",
    )


def resampled_shape(shape: Sequence[int], spacing: Sequence[float], new_spacing: Sequence[float]) -> Shape:
    """Shape after resampling (nnU-Net ``compute_new_shape``), at least one voxel along each axis."""
    z, y, x = (max(1, round(s / t * n)) for n, s, t in zip(shape, spacing, new_spacing, strict=True))
    return z, y, x


def separate_axis(spacing: Sequence[float], new_spacing: Sequence[float], force: bool | None = None) -> int | None:
    """The axis that nnU-Net resamples apart by nearest neighbour, or None.

    That is the one axis which is more than three times as coarse as another, in the old spacing or else in the new.
    `force` is ``force_separate_z`` of ``plans.json``: True asks the old spacing whatever its ratio, False forbids.
    """
    if force is False:
        return None
    for candidate in (spacing, new_spacing):
        s = np.asarray(candidate, dtype=np.float64)
        if force or s.max() / s.min() > ANISO_THRESHOLD:
            coarse = np.flatnonzero(np.isclose(s, s.max()))
            return int(coarse[0]) if len(coarse) == 1 else None
    return None


def resample(
    data: NDArray[np.generic],
    new_shape: Sequence[int],
    spacing: Sequence[float],
    new_spacing: Sequence[float],
    order: int,
    force_separate: bool | None = None,
) -> Array:
    """Resample (channels, z, y, x) to `new_shape` as nnU-Net's ``resample_data_or_seg_to_shape`` does; float32.

    Spline `order` along each axis, or in the plane alone with nearest neighbour across it, see `separate_axis`.
    nnU-Net calls ``skimage.transform.resize``. A spline is linear and separable, so here each axis is one matrix
    product: the same numbers, many times faster, without the float64 copies.
    """
    shape = (int(new_shape[0]), int(new_shape[1]), int(new_shape[2]))
    if tuple(data.shape[1:]) == shape:
        return data.astype(np.float32, copy=False)
    axis = separate_axis(spacing, new_spacing, force_separate)
    return np.stack([_resample_one(channel.astype(np.float32, copy=False), shape, axis, order) for channel in data])


def _resample_one(volume: Array, new_shape: Shape, axis: int | None, order: int) -> Array:
    if axis is not None:
        volume = np.take(volume, nearest_index(volume.shape[axis], new_shape[axis]), axis=axis)
    # resize() never leaves the range of its input: a volume's, or a slice's where slices are resized one by one.
    plane = tuple(a for a in range(3) if a != axis)
    low, high = volume.min(axis=plane, keepdims=True), volume.max(axis=plane, keepdims=True)
    for a in reversed(plane):  # in a CT the columns and rows shrink most: they go first
        if volume.shape[a] != new_shape[a]:
            volume = _along(volume, _axis_matrix(volume.shape[a], new_shape[a], order), a)
    return np.clip(volume, low, high)


def nearest_index(old: int, new: int) -> NDArray[np.intp]:
    """(new,) index of the old sample nearest to each new one, halves upwards, as scipy rounds."""
    where = float(old) / new * (np.arange(new) + 0.5) - 0.5
    return np.asarray(np.floor(where + 0.5).clip(0, old - 1), dtype=np.intp)


def _along(volume: Array, matrix: Tensor, axis: int) -> Array:
    # PyTorch's products of many small matrices are ten times as fast as numpy's.
    data = torch.from_numpy(np.require(volume, requirements=["C", "W"]))
    if axis == 0:
        out = (matrix @ data.flatten(1)).unflatten(1, data.shape[1:])
    else:
        out = matrix @ data if axis == 1 else data @ matrix.T
    return np.asarray(out.numpy(), dtype=np.float32)


@lru_cache(maxsize=32)
def _axis_matrix(old: int, new: int, order: int) -> Tensor:
    """(new, old): what ``scipy.ndimage.zoom`` does along one axis, found by zooming each unit vector."""
    from scipy.ndimage import zoom

    columns = [zoom(unit, new / old, order=order, mode="nearest", grid_mode=True) for unit in np.eye(old)]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


def labels_from_logits(
    logits: Tensor,
    new_shape: Shape,
    axis: int | None,
    regions: bool = False,
    budget_bytes: int = 64 * 2**20,
) -> Iterator[tuple[slice, NDArray[np.generic]]]:
    """Bring logits (classes, z, y, x) to `new_shape` and decide, slab by slab so that memory stays small.

    Linear interpolation, nearest along `axis` when one is given (`separate_axis`); then the largest class wins.

    Yields
    ------
    (slice, labels) : the slab along axis ``axis or 0``; (z, y, x) class numbers of that slab. With `regions`
        (overlapping labels, each decided on its own) bool (classes, z, y, x) instead: probability above one half.
    """
    slab_axis = axis or 0
    data = logits.movedim(slab_axis + 1, 1)  # (classes, slab axis, plane, plane)
    n_old, n_new = data.shape[1], new_shape[slab_axis]
    plane = [n for a, n in enumerate(new_shape) if a != slab_axis]
    low, high, weight = _linear(n_old, n_new) if axis is None else _nearest(n_old, n_new)
    step = max(1, budget_bytes // (4 * data.shape[0] * plane[0] * plane[1]))
    for start in range(0, n_new, step):
        part = slice(start, min(start + step, n_new))
        w = weight[part].to(data.device)[None, :, None, None]
        slab = torch.lerp(data[:, low[part].to(data.device)], data[:, high[part].to(data.device)], w)
        if list(slab.shape[2:]) != plane:
            slab = torch.nn.functional.interpolate(slab, size=plane, mode="bilinear", align_corners=False)
        decided = slab > 0 if regions else slab.argmax(0).to(label_type(len(data)))
        yield part, np.moveaxis(decided.cpu().numpy(), -3, slab_axis - 3)


def _linear(old: int, new: int) -> tuple[Tensor, Tensor, Tensor]:
    where = (float(old) / new * (np.arange(new) + 0.5) - 0.5).clip(0, old - 1)
    low = np.floor(where).astype(np.int64)
    high = np.minimum(low + 1, old - 1)
    return torch.from_numpy(low), torch.from_numpy(high), torch.from_numpy((where - low).astype(np.float32))


def _nearest(old: int, new: int) -> tuple[Tensor, Tensor, Tensor]:
    index = torch.from_numpy(nearest_index(old, new).astype(np.int64))
    return index, index, torch.zeros(new)


def label_type(classes: int) -> torch.dtype:
    """The smallest integer type that holds the numbers of so many classes."""
    return torch.uint8 if classes <= 256 else torch.int16
