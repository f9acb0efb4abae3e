"""Tiles together are one pass over the whole mirrored image, to rounding."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contourdesk.inference.fcn import FCN
from contourdesk.inference.overlap_tile import MARGIN, input_size, mirror_index, mirrored, output_size, overlap_tile
from contourdesk.inference.unet2015 import UNet2015


def finish(job) -> Tensor:
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value


def whole(network: nn.Module, image: Tensor) -> Tensor:
    """One pass over each slice as a whole."""
    y, x = image.shape[2:]
    with torch.no_grad():
        slices = [
            network(mirrored(image[:, z], -MARGIN, -MARGIN, (input_size(y), input_size(x)))[None])[0, :, :y, :x]
            for z in range(image.shape[1])
        ]
    return torch.stack(slices, dim=1)


@pytest.fixture(scope="module", params=[UNet2015, FCN], ids=["unet2015", "fcn"])
def network(request) -> nn.Module:
    torch.manual_seed(0)
    return request.param(1, 3, width=1).eval()


@pytest.mark.parametrize(
    ("size", "tile"),
    [
        ((37, 50), (204, 204)),
        ((100, 61), (204, 252)),
        ((100, 61), (236, 220)),
        ((133, 90), (268, 204)),
        ((1, 7), (204, 572)),
        ((84, 84), (572, 572)),
    ],
)
def test_seamless(network: nn.Module, size: tuple[int, int], tile: tuple[int, int]):
    image = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(1))
    expected = whole(network, image).softmax(0)
    got = finish(overlap_tile(image, tile, 3, network)).softmax(0)
    assert got.shape == (3, 2, *size)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_seamless_to_the_last_digit_in_double_precision(network: nn.Module):
    double = type(network)(1, 3, width=1).eval().double()
    double.load_state_dict(network.state_dict())
    image = torch.randn(1, 1, 117, 75, generator=torch.Generator().manual_seed(1)).double()
    expected = whole(double, image)
    got = finish(overlap_tile(image, (204, 220), 3, double))
    torch.testing.assert_close(got, expected.float(), rtol=1e-6, atol=1e-6)


def test_tiles_off_the_pooling_grid_would_show(network: nn.Module):
    """Why tiles begin at multiples of 16: moved by 4 pixels, as 388 after 388 would be, the result is another."""
    image = torch.randn(1, 60, 60, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        here = network(mirrored(image, -MARGIN, -MARGIN, (220, 220))[None])[0]
        moved = network(mirrored(image, 4 - MARGIN, 4 - MARGIN, (220, 220))[None])[0]
        by_16 = network(mirrored(image, 16 - MARGIN, 16 - MARGIN, (220, 220))[None])[0]
    assert (here[:, 4:, 4:] - moved[:, :-4, :-4]).abs().max() > 0.01
    torch.testing.assert_close(here[:, 16:, 16:], by_16[:, :-16, :-16], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_mirror_without_end(size: int):
    expected = np.pad(np.arange(size), (70, 95), mode="reflect") if size > 1 else np.zeros(166)
    assert mirror_index(-70, size + 95, size).tolist() == expected.tolist()


def test_sizes_of_the_paper():
    assert output_size(572) == 388
    assert input_size(388) == 572
    assert [input_size(n) for n in (1, 4, 5, 20, 21)] == [188, 188, 204, 204, 220]
    for bad in (571, 570, 172, 180):
        with pytest.raises(ValueError, match="do not fit"):
            output_size(bad)


def test_tiles_that_leave_gaps_are_refused(network: nn.Module):
    with pytest.raises(ValueError, match="204"):
        next(overlap_tile(torch.zeros(1, 1, 30, 30), (188, 188), 3, network))


def test_progress_and_gradients(network: nn.Module):
    job = overlap_tile(torch.zeros(1, 2, 40, 20), (204, 204), 3, network)
    seen = [next(job)]
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    seen += list(job)
    assert seen == [(n, 6) for n in range(1, 7)]
