"""How deep a U-Net is, where it halves which axis, and how large its patches are, by nnU-Net's rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST_MAP = 4  # voxels along an axis of the deepest feature map


@dataclass(frozen=True)
class Topology:
    """A U-Net's shape.

    Parameters
    ----------
    strides, kernels : of each stage, one number an axis; the first stage halves nothing.
    patch : voxels along each axis, made divisible by what the stages halve.
    """

    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]
    patch: tuple[int, ...]

    @property
    def divisor(self) -> tuple[int, ...]:
        """What each side of the patch is a multiple of."""
        return tuple(int(np.prod(axis)) for axis in zip(*self.strides, strict=True))


def topology(spacing_mm: Sequence[float], patch: Sequence[int]) -> Topology:
    """nnU-Net's ``get_pool_and_conv_props`` for voxels and a patch (z, y, x).

    A coarse axis is neither halved nor convolved until the others have become as coarse.
    """
    spacing, size = list(map(float, spacing_mm)), list(map(int, patch))
    axes = range(len(spacing))
    kernel = [1] * len(spacing)
    strides, kernels = [tuple(kernel)], []
    while True:
        large = [a for a in axes if size[a] >= 2 * SMALLEST_MAP]
        finest = min((spacing[a] for a in large), default=0.0)
        halved = [a for a in large if spacing[a] / finest < 2]
        if not halved or (len(halved) == 1 and size[halved[0]] < 3 * SMALLEST_MAP):
            break
        kernel = [3 if k == 3 or s / min(spacing) < 2 else 1 for k, s in zip(kernel, spacing, strict=True)]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if a in halved else 1 for a in axes))
        for a in halved:
            spacing[a] *= 2
            size[a] = -(-size[a] // 2)
    kernels.append((3,) * len(spacing))
    out = Topology(tuple(strides), tuple(kernels), tuple(patch))
    fitting = tuple(-(-n // d) * d for n, d in zip(patch, out.divisor, strict=True))
    return Topology(out.strides, out.kernels, fitting)


def fit_patch(
    spacing_mm: Sequence[float], shape: Sequence[int], cost: Callable[[Topology], float], budget: float
) -> Topology:
    """The largest patch whose cost is within the budget, as nnU-Net finds it.

    It begins with a cube in mm, no larger than the median image `shape` (z, y, x), and takes off the side that is the
    longest in relation to that image. `cost` is of a topology, in the budget's unit.
    """
    finer = 1 / np.array(spacing_mm)
    side = finer * (256**3 / finer.prod()) ** (1 / 3)
    found = topology(spacing_mm, [max(1, min(round(a), b)) for a, b in zip(side, shape, strict=True)])
    while cost(found) > budget:
        patch = list(found.patch)
        longest = int(np.argmax([a / b for a, b in zip(patch, shape, strict=True)]))
        smaller = list(patch)
        smaller[longest] -= found.divisor[longest]
        if smaller[longest] < 1:
            break
        # What fewer halvings allow may lie between this size and the next.
        smaller[longest] = patch[longest] - topology(spacing_mm, smaller).divisor[longest]
        if smaller[longest] < 1:
            break
        found = topology(spacing_mm, smaller)
    return found
