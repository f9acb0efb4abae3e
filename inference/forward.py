"""A model's networks over a prepared image: where they run, in which pieces, and what is tried when memory ends."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box
from contourdesk.app.jobs import Job, Progress
from contourdesk.inference.device import describe
from contourdesk.inference.drawing import Drawing
from contourdesk.inference.memory import free_bytes, free_main_memory, give_back, in_words, network_bytes, weight_bytes
from contourdesk.inference.networks import is_unpadded
from contourdesk.inference.nnunet import Model
from contourdesk.inference.options import Options
from contourdesk.inference.overlap_tile import overlap_tile
from contourdesk.inference.preparing import Prepared
from contourdesk.inference.preprocess import Shape
from contourdesk.inference.quick import quick
from contourdesk.inference.sliding_window import (
    HalfOverflowError,
    Passes,
    Slab,
    mirrored,
    places,
    sliding_slabs,
)

log = logging.getLogger(__name__)

_CPU = torch.device("cpu")
# A batch is as large as this part of a graphics processor's free memory allows, and no larger than 8.
_SHARE, _MOST = 0.5, 8


@dataclass(frozen=True)
class Way:
    """Where the networks run, where the sums are kept, how many windows go together, and the sums' type."""

    run_on: torch.device
    keep_on: torch.device
    batch: int = 1
    dtype: torch.dtype = torch.float16

    def __str__(self) -> str:
        if self.run_on.type == "cpu":
            return "on the processor"
        sums = "" if self.keep_on == self.run_on else ", with its sums in main memory"
        return f"on the graphics processor, {self.batch} window{'s' if self.batch != 1 else ''} at a time{sums}"


@dataclass(frozen=True)
class Need:
    """Estimate in bytes: of the networks, of one window's pass, of the sums, and of what stays in main memory."""

    weights: int
    window: int
    sums: int
    main: int

    def on_device(self, batch: int, sums: bool = True) -> int:
        """Bytes on the device that the networks run on."""
        return self.weights + self.window * batch + (self.sums if sums else 0)


def estimate(model: Model, prepared: Prepared, drawing: Drawing) -> Need:
    """What a run needs beside what is held already."""
    patch = patch_of(model)
    channels = model.channels
    inputs = prepared.source.image.shape[0] + len(prepared.source.numbers)
    shape = patch[1:] if model.settings.flat else patch
    region = [s.stop - s.start for s in drawing.region]
    plane = max(patch[1], region[1]) * max(patch[2], region[2])
    return Need(
        weights=sum(weight_bytes(n) for n in model.networks),
        window=network_bytes(model.networks[0], (1, inputs, *shape)),
        sums=2 * (channels * (len(model.networks) + 1) + 1) * patch[0] * plane,
        main=2 * 64 * 2**20,
    )


def ways(device: torch.device, need: Need, wanted_batch: int = 0) -> list[Way]:
    """What to try, in order: smaller batches, sums in main memory, and at last the processor."""
    last = [Way(_CPU, _CPU), Way(_CPU, _CPU)]  # once more after memory was tidied up
    if device.type == "cpu":
        return [Way(_CPU, _CPU, wanted_batch), *last] if wanted_batch > 1 else last
    free = free_bytes(device) or 0
    left = free - need.on_device(0)
    fitting = int(left * _SHARE // max(1, need.window))
    batch = wanted_batch or max(1, min(_MOST, fitting))
    out = [Way(device, device, batch), Way(device, device, 1), Way(device, _CPU, 1), *last]
    if free and need.window and need.on_device(1) > free:
        out = out[2:] if need.on_device(1, sums=False) <= free else last
    return list(dict.fromkeys(out[:-1])) + out[-1:]


def patch_of(model: Model) -> Shape:
    """Window (z, y, x); one slice for a 2D network."""
    z, y, x = (1, *model.settings.patch_size)[-3:]
    return z, y, x


def run_model(
    model: Model, prepared: Prepared, options: Options, device: torch.device, keep: Sequence[int], notes: list[str]
) -> Job[Drawing]:
    """Predict and draw, with the next way when one runs out of memory; tells `notes` what the user should know."""

    def fresh() -> Drawing:
        if prepared.wanted is None:
            raise ValueError("nothing is wanted")
        z, y, x = prepared.source.shape
        half = model.settings.result.kind != "torch" and not is_unpadded(model.networks[0])
        return Drawing(
            model.structures, (z, y, x), prepared.box_shape, prepared.wanted, prepared.axis, half=half, keep=keep
        )

    need = estimate(model, prepared, fresh())
    tries = ways(device, need, options.batch)
    if device.type != "cpu" and tries[0].run_on.type == "cpu":
        notes.append(f"{describe(device)} has too little memory for this model; it ran on the processor.")
    _check_main(need, tries[0])
    needs = f"Needs about {in_words(need.on_device(tries[0].batch))} {tries[0]}"
    yield Progress(0, 0, needs, needs)
    while tries:
        way = tries.pop(0)
        drawing = fresh()
        try:
            yield from _draw(model, prepared, options, way, drawing)
            return drawing
        except HalfOverflowError:
            if way.dtype != torch.float16:
                raise UserError(
                    "The network's result holds values that are no numbers.",
                    "The model may be damaged; choose another.",
                ) from None
            tries.insert(0, Way(way.run_on, way.keep_on, way.batch, torch.float32))
            text = "The network's numbers are too large for half precision; single precision is used."
        except (MemoryError, RuntimeError) as error:
            if not falls_back(error, way.run_on):
                raise
            if not tries:
                raise MemoryError("no way left") from error
            text = f"{describe(way.run_on)} ran out of memory; now {tries[0]}."
            log.warning("%s %s: trying the next way", type(error).__name__, way)
        del drawing
        gc.collect()
        text = text[0].upper() + text[1:]
        notes.append(text)
        yield Progress(0, 0, text, text)
    raise MemoryError("no way left")


def _check_main(need: Need, way: Way) -> None:
    free = free_main_memory()
    wanted = need.main + (need.on_device(1) if way.run_on.type == "cpu" else 0)
    if free is not None and wanted > free:
        raise UserError(
            f"The model needs about {in_words(wanted)} of memory for this image, and {in_words(free)} are free.",
            "Close other programs and images, or use a smaller box or model.",
        )


def falls_back(error: Exception, device: torch.device) -> bool:
    """Whether it is about memory, or an operation that the graphics processor lacks."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    lacking = isinstance(error, NotImplementedError) and device.type == "mps"
    return lacking or any(words in text for words in ("out of memory", "not enough memory", "can't allocate memory"))


def _draw(
    model: Model, prepared: Prepared, options: Options, way: Way, drawing: Drawing
) -> Generator[Progress, None, None]:
    axes = model.mirror_axes if options.mirroring else ()
    passes = 2 ** len(axes)
    started, done = time.monotonic(), 0
    total = _windows(model, prepared, options, drawing.region) * len(model.networks) * passes
    try:
        for network in model.networks:
            network.to(way.run_on)
        with quick(model.networks, way.run_on):
            for step in _steps(model, prepared, options, way, drawing.region):
                if isinstance(step, Slab):
                    for slices in drawing.add(step):
                        yield Progress(done, total, f"Drawing the structures: slice {slices} of {drawing.slices}")
                elif step:
                    done = min(done + step, total)
                    yield Progress(done, total, _text(done, total, time.monotonic() - started))
    finally:
        for network in model.networks:
            network.to("cpu")
        if way.run_on.type == "cuda":
            torch.cuda.empty_cache()
        give_back()


def _windows(model: Model, prepared: Prepared, options: Options, region: Box) -> int:
    if is_unpadded(model.networks[0]):
        return 1
    source, before = prepared.source.padded(patch_of(model))
    area = tuple(slice(r.start + b, r.stop + b) for r, b in zip(region, before, strict=True))
    return sum(len(row) for row in places(source.shape, patch_of(model), options.step, (area[0], area[1], area[2])))


def _steps(
    model: Model, prepared: Prepared, options: Options, way: Way, region: Box
) -> Generator[int | Slab, None, None]:
    if is_unpadded(model.networks[0]):
        yield from _tiles(model, prepared, way, region)
        return
    axes = model.mirror_axes if options.mirroring else ()
    runs = [_runner(network, model.settings.flat, axes, way.run_on) for network in model.networks]
    yield from sliding_slabs(
        prepared.source,
        patch_of(model),
        model.channels,
        runs,
        options.step,
        region=region,
        keep=way.keep_on,
        dtype=way.dtype,
        batch=way.batch,
        passes=2 ** len(axes),
    )


def _runner(network: nn.Module, flat: bool, axes: Sequence[int], device: torch.device) -> Callable[[Tensor], Passes]:
    def forward(patches: Tensor) -> Tensor:
        # Half precision on CUDA alone, as in nnU-Net; on processors it is slower.
        with torch.autocast(device.type, enabled=device.type == "cuda"):
            out: Tensor = network(patches)
        return out

    def run(patches: Tensor) -> Passes:
        patches = patches.to(device, non_blocking=True)
        if flat:
            patches = patches[:, :, 0]
        out = yield from mirrored(forward, patches, axes)
        return out[:, :, None] if flat else out

    return run


def _tiles(model: Model, prepared: Prepared, way: Way, region: Box) -> Generator[int | Slab, None, None]:
    """A network without padding has its own way over an image."""
    total: Tensor | None = None
    for network in model.networks:
        image = prepared.source.image.to(way.run_on)
        job = overlap_tile(image, model.settings.patch_size, model.channels, network, way.keep_on)
        while True:
            try:
                next(job)
                yield 0
            except StopIteration as end:
                total = end.value if total is None else total + end.value
                break
        yield 1
    if total is not None:
        yield Slab(0, (total / len(model.networks))[(slice(None), *region)])


def _text(done: int, total: int, seconds: float) -> str:
    text = f"Segmenting: patch {done} of {total}"
    if done < 2 or done == total:
        return text
    left = seconds / done * (total - done)
    return f"{text}, about {_duration(left)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"
