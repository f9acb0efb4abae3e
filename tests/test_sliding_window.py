"""The sliding window: nothing lost, nothing shifted, nothing left switched on."""

import numpy as np
import pytest
import torch
from torch import Tensor

from contourdesk.inference.sliding_window import gaussian_weights, sliding_window, window_starts


def finish(job, steps: list[tuple[int, int]] | None = None) -> Tensor:
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
    steps: list[tuple[int, int]] = []
    out = finish(sliding_window(image, (16, 16, 16), 2, lambda patch: patch), steps)
    torch.testing.assert_close(out, image, rtol=1e-5, atol=1e-5)
    assert [done for done, _ in steps] == list(range(1, steps[0][1] + 1))


def test_gradients_are_off_inside_and_as_before_outside():
    seen = []

    def network(patch: Tensor) -> Tensor:
        seen.append(torch.is_grad_enabled())
        return patch

    job = sliding_window(torch.zeros(1, 40, 16, 16), (16, 16, 16), 1, network)
    next(job)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    finish(job)
    assert seen
    assert not any(seen)
