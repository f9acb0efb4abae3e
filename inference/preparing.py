"""From a volume to a network's input, and places back from there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import AxisOrder, Box, whole_box
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.volume import Volume
from contourdesk.inference.cascade import resample_labels
from contourdesk.inference.nnunet import Model
from contourdesk.inference.plans import Resampling, Settings
from contourdesk.inference.preprocess import (
    Shape,
    inside,
    nonzero_box,
    normaliser,
    resample_one,
    resampled_shape,
    separate_axis,
)
from contourdesk.inference.sliding_window import Source


@dataclass(frozen=True, eq=False)
class Prepared:
    """The network's input, and the way back. Axes are the network's unless said otherwise.

    Parameters
    ----------
    source : the image, normalised and resampled.
    box : part of the turned and transposed array of `shape` that it shows;  wanted : part of `box`, from its first
        voxel, that the result is wanted for, None when the wanted box of the image lies outside it.
    spacing_mm : of that array.
    order : how the volume's array was turned, and then `transpose`.
    axis : the axis that results are resampled along by nearest neighbour, or None.
    """

    source: Source
    box: Box
    wanted: Box | None
    shape: Shape
    spacing_mm: tuple[float, float, float]
    order: AxisOrder
    transpose: tuple[int, int, int]
    axis: int | None

    @property
    def box_shape(self) -> Shape:
        """Voxels of `box`."""
        z, y, x = (s.stop - s.start for s in self.box)
        return z, y, x

    def to_volume(self, start: Shape, part: NDArray[np.generic]) -> tuple[Shape, NDArray[np.generic]]:
        """An array whose first voxel lies at `start` of `wanted`: its place and itself, as the volume's array lies."""
        if self.wanted is None:
            raise ValueError("nothing is wanted")
        place = [b.start + w.start + s for b, w, s in zip(self.box, self.wanted, start, strict=True)]
        back = [int(a) for a in np.argsort(self.transpose)]
        place, shape = [place[a] for a in back], [self.shape[a] for a in back]
        turned = part.transpose(back)
        for a, flip in enumerate(self.order.flips):
            if flip:
                place[a] = shape[a] - place[a] - turned.shape[a]
        z, y, x = (place[int(a)] for a in np.argsort(self.order.permutation))
        return (z, y, x), np.ascontiguousarray(self.order.undo(turned))


def turn(volume: Volume, orientation: str) -> AxisOrder:
    """How a volume's array is turned before a model sees it: "LPS", "RAS" or "stored", see `Settings`."""
    if orientation == "stored":
        return AxisOrder((0, 1, 2), (False, False, False))
    _, order = volume.grid.canonical()
    if orientation == "RAS":
        z, y, x = order.flips
        return AxisOrder(order.permutation, (z, not y, not x))
    return order


def prepare(
    volumes: Sequence[Volume], model: Model, orientation: str, box: Box | None, previous: NDArray[np.generic] | None
) -> Job[Prepared]:
    """Crop, normalise and resample.

    Parameters
    ----------
    volumes : one for each of the model's channels, on one grid.
    box : part of the volumes' arrays that is wanted.
    previous : labels of a cascade's first stage, as the volumes' arrays lie.

    Raises
    ------
    UserError : values that are no numbers; an image that is not what the model is for; absurd sizes.
    """
    settings = model.settings
    order = turn(volumes[0], orientation or settings.orientation)
    arrays = [order.apply(volume.array).transpose(settings.transpose) for volume in volumes]
    turned = [volumes[0].grid.spacing_mm[a] for a in order.permutation]
    z, y, x = (turned[a] for a in settings.transpose)
    spacing = (z, y, x)
    shape: Shape = (arrays[0].shape[0], arrays[0].shape[1], arrays[0].shape[2])
    crop = nonzero_box(*arrays)
    cropped = [array[crop] for array in arrays]
    target = settings.spacing_for(spacing)
    new = resampled_shape(cropped[0].shape, spacing, target)
    if settings.image.kind == "none":
        new = (cropped[0].shape[0], cropped[0].shape[1], cropped[0].shape[2])
    if math.prod(new) > 2**33:
        raise UserError(
            f"The model would see this image as {' x '.join(str(n) for n in new)} voxels.",
            "Its voxels are too fine for this image; choose another model.",
        )
    mask = inside(*cropped) if previous is not None or any(settings.masked) else None
    channels = []
    for i, array in enumerate(cropped):
        yield Progress(0, 0, "Resampling the image")
        channels.append(_channel(array, settings, i, new, spacing, mask if settings.masked[i] else None))
    image = torch.from_numpy(np.stack(channels) if len(channels) > 1 else channels[0][None])
    if not torch.isfinite(image).all():
        raise UserError("The image holds values that are no numbers.", "Choose another series.")
    stage = None
    if previous is not None and mask is not None and settings.stage is not None:
        labels = order.apply(previous).transpose(settings.transpose)[crop].astype(np.int16)
        labels[(labels == 0) & ~mask] = -1
        stage = resample_labels(labels, new, _axis(settings.stage, spacing, target))
    numbers = model.structures.numbers if stage is not None else ()
    return Prepared(
        source=Source(image, stage, numbers),
        box=crop,
        wanted=_wanted(volumes[0], box, order, settings, crop),
        shape=shape,
        spacing_mm=spacing,
        order=order,
        transpose=settings.transpose,
        axis=_axis(settings.result, target, spacing),
    )


def _axis(how: Resampling, spacing: Sequence[float], new_spacing: Sequence[float]) -> int | None:
    return separate_axis(spacing, new_spacing, how.separate, how.threshold)


def _channel(
    array: NDArray[np.generic],
    settings: Settings,
    number: int,
    new: Shape,
    spacing: tuple[float, float, float],
    mask: NDArray[np.bool_] | None,
) -> NDArray[np.float32]:
    norm = normaliser(array, settings.normalisation[number], settings.intensity[number], mask)
    axis = _axis(settings.image, spacing, settings.spacing_for(spacing))
    return resample_one(array, new, axis, settings.image.order, norm.apply)


def _wanted(volume: Volume, box: Box | None, order: AxisOrder, settings: Settings, crop: Box) -> Box | None:
    """The wanted box of the volume in the network's axes, from the crop's first voxel."""
    parts = list(box or whole_box(volume.grid.shape))
    parts = [slice(*s.indices(n)[:2]) for s, n in zip(parts, volume.grid.shape, strict=True)]
    turned = []
    for a, flip in zip(order.permutation, order.flips, strict=True):
        n, s = volume.grid.shape[a], parts[a]
        turned.append(slice(n - s.stop, n - s.start) if flip else s)
    moved = [turned[a] for a in settings.transpose]
    out = [
        slice(max(m.start, c.start) - c.start, min(m.stop, c.stop) - c.start) for m, c in zip(moved, crop, strict=True)
    ]
    if any(s.stop <= s.start for s in out):
        return None
    return out[0], out[1], out[2]


def whole_map(found: NDArray[np.generic], prepared: Prepared, volume: Volume) -> NDArray[np.generic]:
    """A label map of the wanted box as one of the whole volume's array."""
    out = np.zeros(volume.grid.shape, found.dtype)
    place, part = prepared.to_volume((0, 0, 0), found)
    out[tuple(slice(p, p + n) for p, n in zip(place, part.shape, strict=True))] = part
    return out
