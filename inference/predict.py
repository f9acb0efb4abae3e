"""Segment a volume with a model: a job that reports every patch and can be stopped between two."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from torch import Tensor

from contourdesk import __version__
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import AxisOrder, Box
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.naming import colour_for, suggest, type_for
from contourdesk.app.structures import Mask, Provenance, Structure
from contourdesk.app.volume import Volume
from contourdesk.inference.device import choose_device, describe
from contourdesk.inference.nnunet import Model
from contourdesk.inference.preprocess import (
    Shape,
    label_type,
    labels_from_logits,
    nonzero_box,
    normalise,
    resample,
    resampled_shape,
    separate_axis,
)
from contourdesk.inference.sliding_window import sliding_window

log = logging.getLogger(__name__)


def predict(
    volume: Volume, model: Model, device: str | torch.device | None = None, step: float = 0.5
) -> Job[list[Structure]]:
    """Segment `volume`, on its own grid.

    The array is turned to axes (S, P, L) first, as models are trained, and the result is turned back.

    Parameters
    ----------
    volume : in HU for a model trained on CT.
    device : where the network runs; the best one here unless given. Out of memory on a graphics card falls back to
        sums kept in main memory, then to the processor.
    step : largest distance of two windows as a part of the patch.

    Returns
    -------
    One structure for each of the model's labels, in their order, under its TG-263 name where one is known. The mask
    of an organ that the model did not find is empty, so that the reviewer sees this.

    Raises
    ------
    UserError : the image is no CT while the model needs one; no such device; not enough memory.
    """
    if volume.unit != "HU" and model.settings.normalisation == "CTNormalization":
        raise UserError(
            f"The model '{model.name}' was trained on CT, and this image is not a CT in Hounsfield units.",
            "Open the CT series, or choose a model for this kind of image.",
        )
    if math.prod(volume.grid.shape) == 0:
        raise UserError("The image is empty.", "Choose another series.")
    where = choose_device(device)
    yield Progress(0, 0, f"Preparing the image for {describe(where)}")
    try:
        prepared = yield from _prepare(volume, model)
        yield Progress(0, 0, "Loading the network")
        found = yield from _segment(prepared, model, where, step)
    except MemoryError as error:
        raise _too_large(volume) from error
    return _structures(_undo(found, prepared, model), model)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """The network's input, and the way back.

    `image` (1, z, y, x) normalised and resampled; `box` the part of the turned array of `shape` that it shows;
    `spacing_mm` of that array; `order` how it was turned (before the model's own transposition).
    """

    image: NDArray[np.float32]
    box: Box
    shape: Shape
    spacing_mm: tuple[float, float, float]
    order: AxisOrder

    @property
    def box_shape(self) -> Shape:
        z, y, x = (s.stop - s.start for s in self.box)
        return z, y, x


def _prepare(volume: Volume, model: Model) -> Job[_Prepared]:
    settings = model.settings
    grid, order = volume.grid.canonical()
    array = order.apply(volume.array).transpose(settings.transpose)
    z, y, x = (grid.spacing_mm[a] for a in settings.transpose)
    spacing = (z, y, x)
    box = nonzero_box(array)
    image = normalise(array[box], settings.normalisation, settings.intensity)
    yield Progress(0, 0, "Resampling the image")
    shape = resampled_shape(image.shape, spacing, settings.spacing_mm)
    small = resample(image[None], shape, spacing, settings.spacing_mm, settings.order, settings.separate_image)
    return _Prepared(small, box, (array.shape[0], array.shape[1], array.shape[2]), spacing, order)


def _attempts(device: torch.device) -> list[tuple[torch.device, torch.device]]:
    """Where the network runs and where the sums are kept: first choice first."""
    cpu = torch.device("cpu")
    return [(cpu, cpu)] if device.type == "cpu" else [(device, device), (device, cpu), (cpu, cpu)]


def _segment(
    prepared: _Prepared, model: Model, device: torch.device, step: float
) -> Generator[Progress, None, NDArray[np.generic]]:
    """Labels (z, y, x) or regions (labels, z, y, x) of the box, in the model's axes."""
    for run_on, keep_on in _attempts(device):
        try:
            logits = yield from _logits(prepared, model, run_on, keep_on, step)
            return (yield from _decide(logits, prepared, model))
        except (MemoryError, RuntimeError) as error:
            if not _falls_back(error, run_on):
                raise
            log.warning("%s on %s, sums on %s: trying the next way", type(error).__name__, run_on, keep_on)
        yield Progress(0, 0, f"{describe(run_on)} ran out of memory, trying another way")
    raise MemoryError("no way left")


def _falls_back(error: Exception, device: torch.device) -> bool:
    """Whether it is about memory, or an operation that the graphics processor lacks."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    lacking = isinstance(error, NotImplementedError) and device.type == "mps"
    return lacking or any(words in text for words in ("out of memory", "not enough memory", "can't allocate memory"))


def _logits(
    prepared: _Prepared, model: Model, run_on: torch.device, keep_on: torch.device, step: float
) -> Generator[Progress, None, Tensor]:
    """Mean logits of the model's networks, (channels, z, y, x) on `keep_on`."""
    image = torch.from_numpy(prepared.image)
    total: Tensor | None = None
    started = time.monotonic()
    for fold, network in enumerate(model.networks):
        try:
            network.to(run_on)

            def run(patch: Tensor, network: torch.nn.Module = network) -> Tensor:
                with torch.autocast(run_on.type, enabled=run_on.type == "cuda"):
                    out: Tensor = network(patch)
                return out

            windows = sliding_window(
                image.to(run_on), model.settings.patch_size, model.channels, run, step, accumulate_on=keep_on
            )
            while True:
                try:
                    done, patches = next(windows)
                except StopIteration as end:
                    total = end.value if total is None else total.add_(end.value)
                    break
                done, patches = done + fold * patches, patches * len(model.networks)
                yield Progress(done, patches, _text(done, patches, time.monotonic() - started))
        finally:
            network.to("cpu")
            if run_on.type == "cuda":
                torch.cuda.empty_cache()
    if total is None:
        raise ValueError("a model without networks")
    return total / len(model.networks) if len(model.networks) > 1 else total


def _text(done: int, patches: int, seconds: float) -> str:
    text = f"Segmenting: patch {done} of {patches}"
    if done < 2 or done == patches:
        return text
    left = seconds / done * (patches - done)
    return f"{text}, about {_duration(left)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def _decide(logits: Tensor, prepared: _Prepared, model: Model) -> Generator[Progress, None, NDArray[np.generic]]:
    """Bring the logits back to the box's own voxels and decide there."""
    settings, shape = model.settings, prepared.box_shape
    axis = separate_axis(settings.spacing_mm, prepared.spacing_mm, settings.separate_result)
    slab_axis = axis or 0
    if model.regions:
        out = np.zeros((len(model.labels), *shape), bool)
    else:
        out = np.zeros(shape, np.uint8 if label_type(model.channels) is torch.uint8 else np.int16)
    for part, labels in labels_from_logits(logits, shape, axis, model.regions):
        np.moveaxis(out, slab_axis - 3, -3)[..., part, :, :] = np.moveaxis(labels, slab_axis - 3, -3)
        yield Progress(part.stop, shape[slab_axis], "Drawing the structures on the image")
    return out


def _undo(found: NDArray[np.generic], prepared: _Prepared, model: Model) -> NDArray[np.generic]:
    """The labels as the volume's array lies: crop, transposition and turn taken back."""
    whole = np.zeros((*found.shape[:-3], *prepared.shape), found.dtype)
    whole[(..., *prepared.box)] = found
    lead = found.ndim - 3
    back = [*range(lead), *(lead + int(a) for a in np.argsort(model.settings.transpose))]
    return np.ascontiguousarray(prepared.order.undo(whole.transpose(back)))


def _structures(found: NDArray[np.generic], model: Model) -> list[Structure]:
    provenance = Provenance(
        source="model",
        model=model.name,
        weights_sha256=model.weights_sha256,
        software=f"Contourdesk {__version__}",
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if model.regions:
        masks = [Mask.from_dense(part) for part in found]
    else:
        boxes = find_objects(found, max_label=len(model.labels))
        masks = [_mask(found, number, box) for number, box in enumerate(boxes, 1)]
    names = display_names(model.labels)
    return [_structure(name, mask, provenance) for name, mask in zip(names, masks, strict=True)]


def display_names(labels: Sequence[str]) -> list[str]:
    """TG-263's names for a model's labels; a label keeps its own name when two would become one."""
    wanted = [suggest(label) or label for label in labels]
    return [w if wanted.count(w) == 1 else label for w, label in zip(wanted, labels, strict=True)]


def _mask(labels: NDArray[np.generic], number: int, box: Box | None) -> Mask:
    if box is None:
        return Mask()
    return Mask((box[0].start, box[1].start, box[2].start), labels[box] == number)


def _structure(name: str, mask: Mask, provenance: Provenance) -> Structure:
    return Structure(
        name=name, colour=colour_for(name), mask=mask, provenance=provenance, interpreted_type=type_for(name)
    )


def _too_large(volume: Volume) -> UserError:
    size = " x ".join(str(n) for n in volume.grid.shape)
    return UserError(
        f"There is not enough memory to segment this image of {size} voxels.",
        "Close other programs and images, or use a computer with more memory.",
    )
