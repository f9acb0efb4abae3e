"""The weight map is the paper's formula, computed here the slow way."""

import numpy as np
import pytest
import torch

from contourdesk.inference.losses import IGNORE, weighted_cross_entropy
from contourdesk.inference.weight_map import border_term, class_weights, weight_map


def cells_of(labels: np.ndarray) -> list[np.ndarray]:
    """Pixels (n, 2) of each connected part of each label, found by flooding."""
    left = labels > 0
    cells = []
    while left.any():
        stack = [tuple(np.argwhere(left)[0])]
        value, cell = labels[stack[0]], []
        left[stack[0]] = False
        while stack:
            y, x = stack.pop()
            cell.append((y, x))
            for a in range(max(0, y - 1), min(labels.shape[0], y + 2)):
                for b in range(max(0, x - 1), min(labels.shape[1], x + 2)):
                    if left[a, b] and labels[a, b] == value:
                        left[a, b] = False
                        stack.append((a, b))
        cells.append(np.array(cell))
    return cells


def slow_weight_map(labels: np.ndarray, of_class: np.ndarray, w0: float = 10, sigma: float = 5) -> np.ndarray:
    cells = cells_of(labels)
    out = np.zeros(labels.shape)
    for y, x in np.ndindex(labels.shape):
        out[y, x] = of_class[max(0, labels[y, x])]
        if labels[y, x] <= 0 and len(cells) > 1:
            d1, d2 = sorted(np.sqrt(((cell - (y, x)) ** 2).sum(1)).min() for cell in cells)[:2]
            out[y, x] += w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    return out


@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force(seed: int):
    rng = np.random.default_rng(seed)
    labels = np.zeros((24, 31), np.int16)
    for _ in range(rng.integers(2, 7)):
        y, x, r = rng.integers(24), rng.integers(31), rng.uniform(1, 4)
        rows, columns = np.ogrid[:24, :31]
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= r**2] = rng.integers(1, 4)
    labels[:, :2] = IGNORE
    of_class = np.array([0.5, 2, 3, 4], np.float32)
    np.testing.assert_allclose(weight_map(labels, of_class), slow_weight_map(labels, of_class), rtol=1e-5)
    np.testing.assert_allclose(
        weight_map(labels, of_class, 3, 2), slow_weight_map(labels, of_class, 3, 2), rtol=1e-5, atol=1e-12
    )


def test_border_needs_two_organs():
    labels = np.zeros((9, 20), np.int16)
    labels[3:6, 3:6] = 1
    assert not border_term(labels).any()
    labels[3:6, 8:11] = 1  # two parts of one label are two organs
    term = border_term(labels)
    assert term[4, 6] == pytest.approx(10 * np.exp(-(3**2) / 50))
    assert not term[labels > 0].any()


def test_class_weights_balance_within_a_ratio():
    counts = np.array([9000, 900, 90, 0])
    free = class_weights(counts, most=1e9)
    assert free[0] * 9000 == pytest.approx(free[1] * 900) == pytest.approx(free[2] * 90)
    held = class_weights(counts)
    assert held[3] / held[0] == pytest.approx(10)
    for weights in (free, held):
        assert (weights * counts).sum() / counts.sum() == pytest.approx(1)


def test_weighted_cross_entropy_is_a_weighted_mean():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 5, 6), torch.randint(0, 3, (2, 5, 6))
    weights = torch.rand(2, 5, 6)
    every = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    target[0, 0] = IGNORE
    counts = weights * (target >= 0)
    known = torch.ones(2, 3, dtype=torch.bool)
    expected = (every * counts).sum() / counts.sum()
    torch.testing.assert_close(weighted_cross_entropy(logits, target, known, weights), expected)


def test_unknown_organs_cost_nothing_on_background():
    logits = torch.tensor([0.001, 0.001, 0.998]).log().view(1, 3, 1, 1).expand(1, 3, 4, 4)
    target, weights = torch.zeros(1, 4, 4, dtype=torch.long), torch.ones(1, 4, 4)
    assert weighted_cross_entropy(logits, target, torch.tensor([[True, True, False]]), weights) < 0.01
    assert weighted_cross_entropy(logits, target, torch.tensor([[True, True, True]]), weights) > 6
