"""The sliding window: nothing lost, nothing shifted, nothing left switched on."""

import numpy as np
import pytest
import torch
from torch import Tensor

from contourdesk.app.geometry import whole_box
from contourdesk.inference.sliding_window import (
    HalfOverflowError,
    Slab,
    Source,
    gaussian_weights,
    mirrored,
    sliding_slabs,
    sliding_window,
    window_starts,
)


def finish(job, steps: list[int] | None = None) -> Tensor:
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            return end.value
        if steps is not None:
            steps.append(step)


@pytest.mark.parametrize(
    ("size", "patch", "step"), [(10, 16, 0.5), (16, 16, 0.5), (17, 16, 0.5), (110, 64, 0.5), (63, 20, 0.3)]
)
def test_windows_cover_an_axis_and_are_close_enough(size: int, patch: int, step: float):
    starts = window_starts(size, patch, step)
    assert starts[0] == 0
    assert starts[-1] == max(0, size - patch)
    assert max(np.diff(starts), default=0) <= np.ceil(patch * step)


def test_starts_are_those_of_nnunet():
    assert window_starts(110, 64, 0.5) == [0, 23, 46]


def test_weights_are_a_gaussian_that_is_never_zero():
    weights = gaussian_weights((16, 64, 8))
    assert weights.max() == pytest.approx(10)
    assert weights.min() > 0
    assert weights.argmax() == np.ravel_multi_index((8, 32, 4), (16, 64, 8))


@pytest.mark.parametrize("shape", [(20, 30, 25), (5, 30, 7), (16, 16, 16), (17, 16, 40)])
def test_identity_returns_its_input(shape: tuple[int, int, int]):
    image = torch.randn((2, *shape), generator=torch.Generator().manual_seed(0))
    steps: list[int] = []
    out = finish(sliding_window(image, (16, 16, 16), 2, lambda patch: patch), steps)
    torch.testing.assert_close(out, image, rtol=1e-5, atol=1e-5)
    assert set(steps) == {1}
    assert len(steps) == np.prod([len(window_starts(n, 16, 0.5)) for n in shape])


def test_gradients_are_off_inside_and_as_before_outside():
    seen = []

    def network(patch: Tensor) -> Tensor:
        seen.append(torch.is_grad_enabled())
        return patch

    job = sliding_window(torch.rand(1, 40, 16, 16), (16, 16, 16), 1, network)
    next(job)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    finish(job)
    assert seen
    assert not any(seen)


def slabs_of(source: Source, networks, **options) -> tuple[Tensor, int]:
    parts, passes = [], 0
    for part in sliding_slabs(source, (8, 8, 8), 2, networks, **options):
        if isinstance(part, Slab):
            assert part.start == sum(p.shape[1] for p in parts)
            parts.append(part.logits)
        else:
            passes += part
    return torch.cat(parts, 1), passes


def plain(network):
    return lambda patches: mirrored(network, patches, ())


def test_slabs_batches_and_regions_are_the_whole():
    source = Source(torch.randn((2, 20, 21, 13), generator=torch.Generator().manual_seed(1)))
    network = plain(lambda patch: patch * 2 + patch.mean((2, 3, 4), keepdim=True))
    whole, passes = slabs_of(source, [network, network])
    assert whole.shape[1:] == (20, 21, 13)
    assert whole.dtype == torch.float16
    assert passes == 2 * 4 * 5 * 3
    batched, _ = slabs_of(source, [network, network], batch=4)
    assert torch.equal(batched, whole)
    region = (slice(9, 15), slice(3, 5), slice(10, 13))
    part, fewer = slabs_of(source, [network, network], region=region)
    assert torch.equal(part, whole[(slice(None), *region)])
    assert fewer < passes / 2


def test_air_runs_once():
    image = torch.full((2, 40, 16, 16), -1.5)
    image[:, :4, :4, :4] = torch.rand((2, 4, 4, 4))
    calls = []

    def network(patch: Tensor) -> Tensor:
        calls.append(patch.shape[0])
        return patch.cumsum(2)

    once, passes = slabs_of(Source(image), [plain(network)])
    assert sum(calls) == 2
    assert passes == 9 * 3 * 3
    every, _ = slabs_of(Source(image), [plain(lambda p: p.cumsum(2))], batch=9)
    assert torch.equal(once, every)


def test_mirror_images_give_the_mean_and_stop_between_passes():
    weights = torch.rand((1, 1, 6, 6, 6))
    job = mirrored(lambda p: p * weights, torch.ones((1, 1, 6, 6, 6)), (0, 2))
    steps: list[int] = []
    out = finish(job, steps)
    assert steps == [1, 1, 1, 1]
    both = weights + weights.flip(2)
    torch.testing.assert_close(out, (both + both.flip(4)) / 4)


def test_labels_of_a_first_stage_become_channels():
    previous = torch.tensor([[[0, 1, 2, -1]]], dtype=torch.int16)
    source, before = Source(torch.zeros(1, 1, 1, 4), previous, (1, 2)).padded((1, 1, 6))
    assert before == (0, 0, 1)
    read = source.read(whole_box(source.shape))
    assert read[:, 0, 0].tolist() == [[0] * 6, [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]]


def test_numbers_too_large_for_half_precision():
    source = Source(torch.rand(1, 12, 12, 12))
    huge = plain(lambda p: torch.cat([p, p], 1) * 1e6)
    with pytest.raises(HalfOverflowError):
        slabs_of(source, [huge])
    assert torch.isfinite(slabs_of(source, [huge], dtype=torch.float32)[0]).all()
