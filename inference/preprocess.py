"""nnU-Net's preprocessing: crop, normalise, resample.

Arrays are (z, y, x) or (channels, z, y, x); spacings are mm in the same order. Images are worked through in slabs of
slices, so that no second copy of a large CT is ever made. The way back is in `contourdesk.inference.drawing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
NORMALISATIONS = (
    "CTNormalization",
    "ZScoreNormalization",
    "NoNormalization",
    "RescaleTo01Normalization",
    "RGBTo01Normalization",
)
_SLAB_BYTES = 32 * 2**20


def nonzero_box(*arrays: NDArray[np.generic]) -> Box:
    """The box round everything that is not zero in any of the arrays of one shape (nnU-Net ``crop_to_nonzero``).

    The whole array when nothing is.
    """
    boxes = [box for array in arrays if (box := tight_box(np.asarray(array != 0))) is not None]
    if not boxes:
        return whole_box(arrays[0].shape)
    z, y, x = (slice(min(b[a].start for b in boxes), max(b[a].stop for b in boxes)) for a in range(3))
    return z, y, x


def inside(*arrays: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Bool (z, y, x): not zero in some array, or a hole in that (nnU-Net ``create_nonzero_mask``)."""
    from scipy.ndimage import binary_fill_holes

    mask = np.asarray(arrays[0] != 0)
    for array in arrays[1:]:
        mask |= np.asarray(array != 0)
    return np.asarray(binary_fill_holes(mask), dtype=bool)


@dataclass(frozen=True, eq=False)
class Normaliser:
    """What to do with a voxel: clip to `low` and `high` where given, subtract `shift`, divide by `scale`.

    With `mask` (bool, of the image's shape) the voxels outside it are left alone.
    """

    shift: float = 0.0
    scale: float = 1.0
    low: float | None = None
    high: float | None = None
    mask: NDArray[np.bool_] | None = None

    def apply(self, array: NDArray[np.generic], part: tuple[slice, ...] = ()) -> Array:
        """Voxels of the slices `part` as float32, normalised; `array` holds those slices."""
        out = array.astype(np.float32)
        if self.low is not None or self.high is not None:
            np.clip(out, self.low, self.high, out=out)
        if self.mask is None:
            out -= np.float32(self.shift)
            out /= np.float32(self.scale)
        else:
            chosen = self.mask[part]
            out[chosen] = (out[chosen] - np.float32(self.shift)) / np.float32(self.scale)
        return out


def normaliser(
    array: NDArray[np.generic], scheme: str, properties: Mapping[str, float], mask: NDArray[np.bool_] | None = None
) -> Normaliser:
    """The normalisation that ``plans.json`` names, for an image (z, y, x).

    Parameters
    ----------
    properties : the training set's numbers, for CTNormalization.
    mask : voxels that count (``use_mask_for_norm``); ZScoreNormalization alone heeds it, as in nnU-Net.

    Raises
    ------
    UserError : a scheme that is not in `NORMALISATIONS`, or an image that is not what the scheme is for.
    """
    if scheme == "CTNormalization":
        return Normaliser(
            properties["mean"],
            max(properties["std"], 1e-8),
            properties["percentile_00_5"],
            properties["percentile_99_5"],
        )
    if scheme == "ZScoreNormalization":
        values = array if mask is None else array[mask]
        mean = float(values.mean(dtype=np.float64)) if values.size else 0.0
        return Normaliser(mean, max(_deviation(values, mean), 1e-8), mask=mask)
    if scheme == "RescaleTo01Normalization":
        low, high = float(array.min()), float(array.max())
        return Normaliser(low, max(high - low, 1e-8))
    if scheme == "NoNormalization":
        return Normaliser()
    if scheme == "RGBTo01Normalization":
        if array.min() < 0 or array.max() > 255:
            raise UserError(
                "The model is for colour pictures of 8 bits, and this image has values below 0 or above 255.",
                "Choose a model for this kind of image.",
            )
        return Normaliser(0.0, 255.0)
    raise UserError(
        f"The model normalises its input by '{scheme}', which Contourdesk does not know.",
        f"Use a model with one of: {', '.join(NORMALISATIONS)}.",
    )


def _deviation(values: NDArray[np.generic], mean: float) -> float:
    total = 0.0
    flat = values.reshape(-1) if values.flags.c_contiguous else values
    for part in _slabs(len(flat), flat[:1].size * 8 if flat.ndim > 1 else 8):
        total += float(np.square(flat[part].astype(np.float64) - mean).sum())
    return float(np.sqrt(total / values.size)) if values.size else 0.0


def ct_normalise(hu: NDArray[np.generic], properties: Mapping[str, float]) -> Array:
    """Clip to the training set's 0.5 and 99.5 foreground percentiles, then z-score with its mean and deviation.

    Source: nnU-Net ``CTNormalization``. Returns float32.
    """
    return normaliser(hu, "CTNormalization", properties).apply(hu)


def normalise(array: NDArray[np.generic], scheme: str, properties: Mapping[str, float]) -> Array:
    """Normalise (z, y, x) by the scheme that ``plans.json`` names; float32. Raises UserError, see `normaliser`."""
    return normaliser(array, scheme, properties).apply(array)


def resampled_shape(shape: Sequence[int], spacing: Sequence[float], new_spacing: Sequence[float]) -> Shape:
    """Shape after resampling (nnU-Net ``compute_new_shape``), at least one voxel along each axis."""
    z, y, x = (max(1, round(s / t * n)) for n, s, t in zip(shape, spacing, new_spacing, strict=True))
    return z, y, x


def separate_axis(
    spacing: Sequence[float],
    new_spacing: Sequence[float],
    force: bool | None = None,
    threshold: float = ANISO_THRESHOLD,
) -> int | None:
    """The axis that nnU-Net resamples apart by nearest neighbour, or None.

    That is the one axis which is more than `threshold` times as coarse as another, in the old spacing or else in the
    new. `force` is ``force_separate_z`` of ``plans.json``: True asks the old spacing whatever its ratio, False forbids.
    """
    if force is False:
        return None
    for candidate in (spacing, new_spacing):
        s = np.asarray(candidate, dtype=np.float64)
        if force or s.max() / s.min() > threshold:
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
    axis = separate_axis(spacing, new_spacing, force_separate)
    return np.stack([resample_one(channel, new_shape, axis, order) for channel in data])


def resample_one(
    volume: NDArray[np.generic],
    new_shape: Sequence[int],
    axis: int | None,
    order: int,
    prepare: Callable[[NDArray[np.generic], tuple[slice, ...]], Array] | None = None,
) -> Array:
    """Resample one channel (z, y, x), nearest neighbour along `axis` when one is given; float32.

    Parameters
    ----------
    prepare : called with slices ``volume[part]`` and ``part`` before they are resampled (`Normaliser.apply`), so that
        the whole volume is never held as float32.
    """
    shape = (int(new_shape[0]), int(new_shape[1]), int(new_shape[2]))
    convert = prepare or (lambda slab, part: np.asarray(slab, dtype=np.float32))
    # resize() never leaves the range of its input: a volume's, or a slice's where slices are resized one by one.
    plane = tuple(a for a in range(3) if a != axis)
    low, high = np.float32(np.inf), np.float32(-np.inf)
    rows: list[NDArray[np.intp]] = [nearest_index(volume.shape[0], shape[0])] if axis == 0 else []
    out = np.empty((shape[0] if axis == 0 else volume.shape[0], *shape[1:]), np.float32)
    for part in _slabs(len(out), 4 * volume.shape[1] * volume.shape[2]):
        slab = _rows(volume, rows[0][part], convert) if rows else convert(volume[part], (part,))
        if axis in (1, 2):
            slab = np.take(slab, nearest_index(slab.shape[axis], shape[axis]), axis=axis)
        # a minimum along axis 0 joins those of the slabs; one within slices is each slab's own
        slab_low, slab_high = slab.min(axis=plane, keepdims=True), slab.max(axis=plane, keepdims=True)
        for a in (2, 1):
            if a != axis and slab.shape[a] != shape[a]:
                slab = _along(slab, _axis_matrix(slab.shape[a], shape[a], order), a)
        if axis == 0:
            out[part] = np.clip(slab, slab_low, slab_high)
        else:
            out[part] = slab
            low, high = np.minimum(low, slab_low), np.maximum(high, slab_high)
    if axis == 0:
        return out
    if out.shape[0] != shape[0]:
        out = _along(out, _axis_matrix(out.shape[0], shape[0], order), 0)
    if out.shape != volume.shape:
        np.clip(out, low, high, out=out)
        # Rounding lifts what should lie on the floor (air) by a hair. Brought back, patches of air are all one.
        np.copyto(out, low, where=out <= low + 1e-6 * np.maximum(1, np.abs(low)))
    return out


def _rows(
    volume: NDArray[np.generic],
    index: NDArray[np.intp],
    convert: Callable[[NDArray[np.generic], tuple[slice, ...]], Array],
) -> Array:
    first, last = int(index.min()), int(index.max()) + 1
    return convert(volume[first:last], (slice(first, last),))[index - first]


def _slabs(count: int, bytes_each: int) -> list[slice]:
    step = max(1, _SLAB_BYTES // max(1, bytes_each))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def nearest_index(old: int, new: int) -> NDArray[np.intp]:
    """(new,) index of the old sample nearest to each new one, halves upwards, as scipy rounds."""
    where = float(old) / new * (np.arange(new) + 0.5) - 0.5
    return np.asarray(np.floor(where + 0.5).clip(0, old - 1), dtype=np.intp)


def nearest_like_zoom(old: int, new: int) -> NDArray[np.intp]:
    """(new,) index that ``scipy.ndimage.zoom`` of order 0 takes; at halves it may differ from `nearest_index`."""
    return np.asarray(_axis_matrix(old, new, 0).argmax(1).numpy(), dtype=np.intp)


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
    """(new, old): what ``scipy.ndimage.zoom`` does along one axis.

    Cubic splines and lines are written out, because importing scipy's filters takes as long as a small image. Other
    orders ask scipy, by zooming each unit vector.
    """
    if order in (1, 3):
        return torch.from_numpy(_spline_matrix(old, new, order).astype(np.float32))
    from scipy.ndimage import zoom

    columns = [zoom(unit, new / old, order=order, mode="nearest", grid_mode=True) for unit in np.eye(old)]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


def _spline_matrix(old: int, new: int, order: int) -> NDArray[np.float64]:
    where = float(old) / new * (np.arange(new) + 0.5) - 0.5
    rows = np.arange(new)[:, None]
    if order == 1:
        where = where.clip(0, old - 1)
        low = np.minimum(np.floor(where).astype(int), max(0, old - 2))
        out = np.zeros((new, old))
        np.add.at(out, (rows, np.minimum(low[:, None] + [0, 1], old - 1)), np.stack([1 - where + low, where - low], 1))
        return out
    pad = 12  # as scipy: the ends go on as they are, and far out the spline is mirrored
    size = old + 2 * pad
    knots = np.diag(np.full(size, 4.0)) + np.diag(np.ones(size - 1), 1) + np.diag(np.ones(size - 1), -1)
    knots[0, 1] = knots[-1, -2] = 2
    extended = np.zeros((size, old))
    extended[np.arange(size), (np.arange(size) - pad).clip(0, old - 1)] = 1
    coefficients = np.linalg.solve(knots / 6, extended)
    low = np.floor(where).astype(int)
    t = (where - low)[:, None]
    weights = np.concatenate(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (1 - t) ** 3 - 6 * (1 - t) ** 2 + 4, t**3], axis=1
    )
    basis = np.zeros((new, size))
    basis[rows, low[:, None] + [-1, 0, 1, 2] + pad] = weights / 6
    return np.asarray(basis @ coefficients)


def label_type(classes: int) -> torch.dtype:
    """The smallest integer type that holds the numbers of so many classes."""
    return torch.uint8 if classes <= 256 else torch.int16
