"""The overlap-tile strategy of the 2015 U-Net: an image of any size through a network that eats its borders.

Each tile of the result needs 92 more pixels of the image at every side. Where the image ends, its mirror image goes
on. The tiles together are what one pass over the whole mirrored image gives: pooling halves the map four times, so
a tile must begin at a multiple of 16 pixels, or it pools other pixels together than its neighbour did.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor

MARGIN = 92  # pixels that the network's unpadded convolutions take off at each side
PERIOD = 16  # four times 2 x 2 pooling


def input_size(pixels: int) -> int:
    """Smallest side of a network's input that gives `pixels` of result or more: 188, 204, …, 572 for 388, and so on."""
    return max(0, -(-(pixels - 4) // PERIOD)) * PERIOD + 4 + 2 * MARGIN


def output_size(pixels: int) -> int:
    """Side of the result for an input of `pixels`.

    Raises
    ------
    ValueError : the network can't take it: some map would have an odd side before pooling, or nothing is left.
    """
    result = pixels - 2 * MARGIN
    if result < 4 or result % PERIOD != 4:
        raise ValueError(f"{pixels} pixels do not fit: take 188, 204, 220 and so on in steps of 16")
    return result


def check_tile(tile: Sequence[int]) -> None:
    """Refuse, by a ValueError, a tile (y, x) that no image can be covered with."""
    if len(tile) != 2:
        raise ValueError("a network without padding works on slices, and the patch is none")
    for side in tile:
        if output_size(side) < PERIOD:
            raise ValueError(f"tiles of {side} pixels leave gaps: take 204 or more")


def mirror_index(start: int, stop: int, size: int) -> Tensor:
    """Indices of an axis of `size` pixels that stand for ``range(start, stop)``, mirrored at its ends without end.

    The pixel at the end is not repeated: -2, -1, 0, 1 become 2, 1, 0, 1.
    """
    if size == 1:
        return torch.zeros(stop - start, dtype=torch.int64)
    turn = 2 * (size - 1)
    where = torch.arange(start, stop) % turn
    return torch.minimum(where, turn - where)


def mirrored(image: Tensor, top: int, left: int, size: Sequence[int]) -> Tensor:
    """The part (…, *size) of a mirrored (…, y, x) that begins at row `top`, column `left`, which may be negative."""
    rows, columns = (
        mirror_index(a, a + n, have).to(image.device)
        for a, n, have in zip((top, left), size, image.shape[-2:], strict=True)
    )
    return image[..., rows[:, None], columns]


def overlap_tile(
    image: Tensor,
    tile: Sequence[int],
    classes: int,
    network: Callable[[Tensor], Tensor],
    accumulate_on: torch.device | str | None = None,
) -> Generator[tuple[int, int], None, Tensor]:
    """Run a network without padding over every slice, tile by tile.

    Parameters
    ----------
    image : (channels, z, y, x), at least one pixel along each axis.
    tile : (y, x) of the network's input, see `output_size`. A tile that is larger than a slice needs is cut down.
    classes : channels of the result.
    network : (1, channels, *tile) -> (1, classes, *tile - 184), on the image's device. Called without gradients.
    accumulate_on : where the result is kept; the image's device unless given.

    Yields
    ------
    (tiles done, tiles) after each tile.

    Returns
    -------
    float32 (classes, z, y, x) on `accumulate_on`.

    Raises
    ------
    ValueError : a tile size that the network can't take.
    """
    check_tile(tile)
    height, width = image.shape[2:]
    rows, columns = (_starts(n, output_size(t)) for n, t in zip((height, width), tile, strict=True))
    size = [min(t, input_size(n)) for t, n in zip(tile, (height, width), strict=True)]
    keep = torch.device(accumulate_on) if accumulate_on is not None else image.device
    result = torch.empty((classes, *image.shape[1:]), device=keep)
    places = [(z, y, x) for z in range(image.shape[1]) for y in rows for x in columns]
    for done, (z, y, x) in enumerate(places, 1):
        with torch.inference_mode():  # opened anew for each tile, so that a yield does not leave the caller in it
            seen = mirrored(image[:, z], y - MARGIN, x - MARGIN, size)
            found = network(seen[None])[0, :, : height - y, : width - x]
            result[:, z, y : y + found.shape[1], x : x + found.shape[2]] = found.float().to(keep)
        yield done, len(places)
    return result


def _starts(pixels: int, tile: int) -> list[int]:
    """Where tiles of the result begin along an axis: at multiples of 16.

    A result of 388 pixels is not a multiple of 16, so tiles are 384 apart and the last four pixels are done twice.
    """
    whole = output_size(input_size(pixels))
    if tile >= whole:
        return [0]
    return [*range(0, whole - tile, tile // PERIOD * PERIOD), whole - tile]
