"""Sliding-window prediction as nnU-Net does it, given out slab by slab.

Windows go through the image slice by slice, so the sums need only be as deep as one window: what lies above the next
row of windows is finished and handed out at once. nnU-Net keeps the sums of the whole image; they are as large as all
of its classes together. Sums are kept in half precision and added in nnU-Net's order: its rounding is ours too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contourdesk.app.geometry import Box, whole_box
from contourdesk.inference.preprocess import Shape

Passes = Generator[int, None, Tensor]
_CACHE_BYTES = 64 * 2**20


class HalfOverflowError(ArithmeticError):
    """A sum was too large for half precision."""


@dataclass(frozen=True, eq=False)
class Source:
    """The network's input, on the CPU.

    Parameters
    ----------
    image : (channels, z, y, x) float32.
    previous : (z, y, x) labels of the stage before in a cascade;  numbers : those labels that become channels, each
        0 or 1, behind the image's own. They are made for each window; nnU-Net makes them for the whole image.
    """

    image: Tensor
    previous: Tensor | None = None
    numbers: tuple[int, ...] = ()

    @property
    def shape(self) -> Shape:
        """Voxels (z, y, x)."""
        z, y, x = self.image.shape[1:]
        return z, y, x

    def padded(self, patch: Shape) -> tuple[Source, Shape]:
        """With zeros at both sides up to one window at least, and how many came before the first voxel."""
        padding = [max(0, p - s) for p, s in zip(patch, self.shape, strict=True)]
        if not any(padding):
            return self, (0, 0, 0)
        flat = [n for p in reversed(padding) for n in (p // 2, p - p // 2)]
        image = torch.nn.functional.pad(self.image, flat)
        previous = None if self.previous is None else torch.nn.functional.pad(self.previous, flat)
        z, y, x = (p // 2 for p in padding)
        return replace(self, image=image, previous=previous), (z, y, x)

    def read(self, box: Box) -> Tensor:
        """(channels, *box) of a window."""
        image = self.image[(slice(None), *box)]
        if self.previous is None:
            return image
        labels = self.previous[box]
        return torch.cat([image, torch.stack([labels == n for n in self.numbers]).to(image.dtype)])


@dataclass(frozen=True, eq=False)
class Slab:
    """Finished logits (channels, slices, y, x); `start` is the first slice's place in the region."""

    start: int
    logits: Tensor


def window_starts(size: int, patch: int, step: float) -> list[int]:
    """First voxels of the windows along one axis: evenly spread, at most ``patch * step`` apart."""
    if size <= patch:
        return [0]
    count = int(np.ceil((size - patch) / (patch * step))) + 1
    return [round((size - patch) / (count - 1) * i) for i in range(count)]


def gaussian_weights(patch: Sequence[int], sigma_scale: float = 1 / 8, dtype: torch.dtype = torch.float32) -> Tensor:
    """nnU-Net's weights: a Gaussian of sigma = patch / 8, largest value 10, never zero. (z, y, x)."""
    weights = torch.ones((), dtype=torch.float64)
    for size in patch:
        weights = weights[..., None] * torch.from_numpy(_gaussian(size, size * sigma_scale))
    weights = (weights / (weights.max() / 10)).to(dtype)
    weights[weights == 0] = weights[weights != 0].min()
    return weights


def _gaussian(size: int, sigma: float) -> NDArray[np.float64]:
    """What ``scipy.ndimage.gaussian_filter`` makes of a one at ``size // 2``."""
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 / sigma**2 * np.arange(-reach, reach + 1) ** 2)
    distance = np.arange(size) - size // 2
    inside = np.abs(distance) <= reach
    out = np.zeros(size)
    out[inside] = (kernel / kernel.sum())[distance[inside] + reach]
    return out


def mirrored(network: Callable[[Tensor], Tensor], patches: Tensor, axes: Sequence[int]) -> Passes:
    """Mean of the results for `patches` (batch, channels, ...) and all their mirror images along `axes`.

    Yields 1 after each pass, so that a job can stop there. In nnU-Net's order, so that rounding is the same.
    """
    with torch.inference_mode():  # opened anew for each pass, so that a yield does not leave the caller in it
        total = network(patches)
    yield 1
    combinations = [c for n in range(1, len(axes) + 1) for c in itertools.combinations(axes, n)]
    for combination in combinations:
        dims = [a + 2 for a in combination]
        with torch.inference_mode():
            total += network(patches.flip(dims)).flip(dims)
        yield 1
    if combinations:
        with torch.inference_mode():
            total /= len(combinations) + 1
    return total


def places(shape: Shape, patch: Shape, step: float, region: Box) -> list[list[Shape]]:
    """Windows of an image of `shape` that touch `region`: rows of windows that begin in one slice."""
    z, y, x = (
        [s for s in window_starts(n, p, step) if s < r.stop and s + p > r.start]
        for n, p, r in zip(shape, patch, region, strict=True)
    )
    return [[(a, b, c) for b in y for c in x] for a in z]


def sliding_slabs(
    source: Source,
    patch: Shape,
    classes: int,
    networks: Sequence[Callable[[Tensor], Passes]],
    step: float = 0.5,
    *,
    region: Box | None = None,
    keep: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float16,
    batch: int = 1,
    passes: int = 1,
) -> Generator[int | Slab, None, None]:
    """Weighted mean of overlapping predictions, and the mean over several networks.

    Parameters
    ----------
    source : smaller than one window it is padded with zeros at both sides.
    patch : window size (z, y, x).
    classes : channels of the result.
    networks : each takes (batch, channels, *patch) and yields after every pass, see `mirrored`; returns
        (batch, classes, *patch).
    step : largest distance of two windows as a part of the patch.
    region : part of the source that is wanted; windows that don't touch it are left out. Its values are those that
        the whole source would give.
    keep : where the sums are kept;  dtype : their type, half precision as in nnU-Net.
    batch : windows that go through a network together.
    passes : how often a network yields, for windows that needn't run.

    Yields
    ------
    Numbers of windows' passes done, and a `Slab` of `dtype` whenever slices are finished: all the region's, in order.

    Raises
    ------
    HalfOverflowError : take float32 as `dtype`.
    """
    region = region or whole_box(source.shape)
    source, before = source.padded(patch)
    area = tuple(slice(r.start + b, r.stop + b) for r, b in zip(region, before, strict=True))
    rows = places(source.shape, patch, step, (area[0], area[1], area[2]))
    size = (patch[0], area[1].stop - area[1].start, area[2].stop - area[2].start)
    weights = gaussian_weights(patch, dtype=dtype).to(keep)
    sums = torch.zeros((len(networks), classes, *size), dtype=dtype, device=keep)
    norm = torch.zeros(size, dtype=dtype, device=keep)
    cache: dict[object, Tensor] = {}
    for i, row in enumerate(rows):
        top = row[0][0]
        for group in (row[k : k + batch] for k in range(0, len(row), batch)):
            inputs = [source.read(_box(start, patch)) for start in group]
            for fold, network in enumerate(networks):
                found = yield from _run(network, fold, inputs, cache, passes)
                for start, out in zip(group, found, strict=True):
                    inner, outer = _overlap(start, patch, area)
                    weighted = out.to(keep) * weights
                    sums[(fold, slice(None), *outer)] += weighted[(slice(None), *inner)]
            for start in group:
                inner, outer = _overlap(start, patch, area)
                norm[outer] += weights[inner]
        below = rows[i + 1][0][0] if i + 1 < len(rows) else top + patch[0]
        first, last = max(top, area[0].start), min(below, area[0].stop)
        if last > first:
            part = slice(first - top, last - top)
            yield Slab(first - area[0].start, _mean(sums[:, :, part], norm[part]))
        _shift(sums, below - top, 2)
        _shift(norm, below - top, 0)


def _box(start: Shape, patch: Shape) -> Box:
    z, y, x = (slice(a, a + n) for a, n in zip(start, patch, strict=True))
    return z, y, x


def _overlap(start: Shape, patch: Shape, area: tuple[slice, ...]) -> tuple[Box, Box]:
    """The part of a window that lies in the area's rows and columns: in the window, and in the sums."""
    inner, outer = [slice(0, patch[0])], [slice(0, patch[0])]
    for a, n, r in zip(start[1:], patch[1:], area[1:], strict=True):
        low, high = max(a, r.start), min(a + n, r.stop)
        inner.append(slice(low - a, high - a))
        outer.append(slice(low - r.start, high - r.start))
    return (inner[0], inner[1], inner[2]), (outer[0], outer[1], outer[2])


def _run(
    network: Callable[[Tensor], Passes], fold: int, inputs: list[Tensor], cache: dict[object, Tensor], passes: int
) -> Generator[int, None, list[Tensor]]:
    """Results for the inputs. Windows of one value throughout (air) all give the same: they run once."""
    keys = [_constant(one, fold) for one in inputs]
    fresh = [i for i, key in enumerate(keys) if key is None or key not in cache]
    results = {i: cache[key] for i, key in enumerate(keys) if i not in fresh}
    if fresh:
        job = network(torch.stack([inputs[i] for i in fresh]))
        while True:
            try:
                next(job)
            except StopIteration as end:
                results.update(zip(fresh, end.value, strict=True))
                break
            yield len(fresh)
    for i in fresh:
        if keys[i] is not None and results[i].nbytes <= _CACHE_BYTES:
            cache[keys[i]] = results[i].clone()
    if len(fresh) < len(inputs):
        yield (len(inputs) - len(fresh)) * passes
    return [results[i] for i in range(len(inputs))]


def _constant(patch: Tensor, fold: int) -> object:
    """A key that patches of one value in each channel share, None for others."""
    flat = patch.flatten(1)
    low = flat[:, 0]
    if not torch.equal(flat[:, -1], low) or not torch.equal(flat, low[:, None].expand_as(flat)):
        return None
    return (fold, *low.tolist())


def _mean(sums: Tensor, norm: Tensor) -> Tensor:
    with torch.inference_mode():
        total: Tensor = sums[0] / norm
        for one in sums[1:]:
            total += one / norm
        if len(sums) > 1:
            total /= len(sums)
    if not torch.isfinite(total).all():
        raise HalfOverflowError("a sum is not finite")
    return total


def _shift(band: Tensor, by: int, dim: int) -> None:
    """Move slices up by `by` and clear what comes in from below."""
    left = max(0, band.shape[dim] - by)
    if left:
        band.narrow(dim, 0, left).copy_(band.narrow(dim, by, left).clone())
    band.narrow(dim, left, band.shape[dim] - left).zero_()


def sliding_window(
    image: Tensor,
    patch: Sequence[int],
    classes: int,
    network: Callable[[Tensor], Tensor],
    step: float = 0.5,
) -> Generator[int, None, Tensor]:
    """Weighted mean of overlapping predictions of the whole image (channels, z, y, x), for scripts and tests.

    Yields the number of passes done; returns float32 (classes, z, y, x).
    """
    z, y, x = patch

    def run(patches: Tensor) -> Passes:
        return mirrored(network, patches, ())

    slabs = []
    for part in sliding_slabs(Source(image), (z, y, x), classes, [run], step, dtype=torch.float32):
        if isinstance(part, Slab):
            slabs.append(part.logits)
        else:
            yield part
    return torch.cat(slabs, 1)
