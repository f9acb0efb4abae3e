"""Sliding-window prediction as nnU-Net does it, as a function of a callable."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor


def window_starts(size: int, patch: int, step: float) -> list[int]:
    """First voxels of the windows along one axis: evenly spread, at most ``patch * step`` apart."""
    if size <= patch:
        return [0]
    count = int(np.ceil((size - patch) / (patch * step))) + 1
    return [round((size - patch) / (count - 1) * i) for i in range(count)]


def gaussian_weights(patch: Sequence[int], sigma_scale: float = 1 / 8) -> Tensor:
    """nnU-Net's weights: a Gaussian of sigma = patch / 8, largest value 10, never zero. float32 (z, y, x)."""
    peak = np.zeros(tuple(patch))
    peak[tuple(n // 2 for n in patch)] = 1
    weights = gaussian_filter(peak, [n * sigma_scale for n in patch], order=0, mode="constant", cval=0)
    weights = (weights / (weights.max() / 10)).astype(np.float32)
    weights[weights == 0] = weights[weights != 0].min()
    return torch.from_numpy(weights)


def sliding_window(
    image: Tensor,
    patch: Sequence[int],
    classes: int,
    network: Callable[[Tensor], Tensor],
    step: float = 0.5,
    accumulate_on: torch.device | str | None = None,
) -> Generator[tuple[int, int], None, Tensor]:
    """Weighted mean of overlapping predictions.

    Parameters
    ----------
    image : (channels, z, y, x). Padded with zeros at both sides to at least one patch, and cropped back.
    patch : window size (z, y, x).
    classes : channels of the result.
    network : (1, channels, *patch) -> (1, classes, *patch), on the image's device. Called without gradients.
    step : largest distance of two windows as a part of the patch.
    accumulate_on : where the sums are kept; the image's device unless given.

    Yields
    ------
    (patches done, patches) after each patch.

    Returns
    -------
    float32 (classes, z, y, x) on `accumulate_on`.
    """
    shape = image.shape[1:]
    keep = torch.device(accumulate_on) if accumulate_on is not None else image.device
    padding = [max(0, p - s) for p, s in zip(patch, shape, strict=True)]
    flat = [n for p in reversed(padding) for n in (p // 2, p - p // 2)]
    data = torch.nn.functional.pad(image, flat)
    weights = gaussian_weights(patch).to(keep)
    total = torch.zeros((classes, *data.shape[1:]), device=keep)
    norm = torch.zeros(data.shape[1:], device=keep)
    starts = [
        (z, y, x)
        for z in window_starts(data.shape[1], patch[0], step)
        for y in window_starts(data.shape[2], patch[1], step)
        for x in window_starts(data.shape[3], patch[2], step)
    ]
    for done, start in enumerate(starts, 1):
        box = tuple(slice(a, a + n) for a, n in zip(start, patch, strict=True))
        with torch.inference_mode():  # opened anew for each patch, so that a yield does not leave the caller in it
            total[(slice(None), *box)] += network(data[(slice(None), *box)][None])[0].float().to(keep) * weights
        norm[box] += weights
        yield done, len(starts)
    total /= norm
    crop = tuple(slice(p // 2, p // 2 + s) for p, s in zip(padding, shape, strict=True))
    return total[(slice(None), *crop)]
