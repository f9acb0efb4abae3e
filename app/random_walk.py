"""Random walker with a prior: soft labels that follow the image's edges, on a part of a box of voxels.

Grady, "Multilabel random walker image segmentation using prior models" (2005), for two labels. scikit-image's walker
knows no prior and solves the whole box; this one solves only the voxels in question.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from contourdesk.app.structures import Bits

Floats = NDArray[np.float32]
Double = NDArray[np.float64]

_TOLERANCE = 2e-3  # the answer is cut at one half: digits further down don't show
_MOST_STEPS = 200


def solve(
    values: Floats, spacing_mm: tuple[float, float, float], tone: float, free: Bits, fixed: Floats, prior: Floats,
    weight: Floats,
) -> Floats:  # fmt: skip
    """How likely a walker from each voxel comes to a voxel labelled 1 first.

    Parameters
    ----------
    values : (z, y, x) image values.
    spacing_mm : voxel spacing; steps along a long side count less.
    tone : difference of neighbouring values, in the image's unit, that counts as an edge.
    free : (z, y, x) voxels to solve; all others keep their `fixed` label.
    fixed : (z, y, x) labels from 0 to 1; of the free voxels it is the first guess.
    prior, weight : (z, y, x) what a free voxel's label would be on its own, and how much that counts against one
        neighbour in its own plane of equal value.

    Returns
    -------
    (z, y, x) float32 labels from 0 to 1.
    """
    out = fixed.astype(np.float32)
    count = int(np.count_nonzero(free))
    if count == 0:
        return out
    number = np.full(free.shape, -1, np.int32)
    number[free] = np.arange(count, dtype=np.int32)
    diagonal = weight[free].astype(np.float64)
    right = diagonal * prior[free]
    rows, columns, weights = [], [], []
    finest = min(spacing_mm)
    for axis, step in enumerate(spacing_mm):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        a, b = number[low], number[high]
        wanted = (a >= 0) | (b >= 0)
        a, b = a[wanted], b[wanted]
        # Long tails: a voxel that is half bone, half air goes to the side that it is less unlike.
        across = (values[low][wanted] - values[high][wanted]) / np.float32(tone)
        w = (finest / step) ** 2 / (1 + across.astype(np.float64) ** 2)
        for mine, other, label in ((a, b, out[high][wanted]), (b, a, out[low][wanted])):
            here = mine >= 0
            diagonal += np.bincount(mine[here], w[here], count)
            known = here & (other < 0)
            right += np.bincount(mine[known], w[known] * label[known], count)
        both = (a >= 0) & (b >= 0)
        rows += [a[both], b[both]]
        columns += [b[both], a[both]]
        weights += [-w[both], -w[both]]
    everyone = np.arange(count, dtype=np.int32)
    places = np.concatenate([*rows, everyone]), np.concatenate([*columns, everyone])
    matrix = sparse.csr_array((np.concatenate([*weights, diagonal]), places), shape=(count, count))
    out[free] = np.clip(_conjugate_gradients(matrix, right, out[free].astype(np.float64), diagonal), 0, 1)
    return out


def _conjugate_gradients(matrix: sparse.csr_array, right: Double, guess: Double, diagonal: Double) -> Double:
    """Solve, preconditioned by the diagonal. SciPy's own asks BLAS for each product, which waits for other threads."""
    x = guess
    residual = right - matrix @ x
    enough = _TOLERANCE**2 * float((right**2 / diagonal).sum())
    step, before = np.zeros_like(x), 1.0
    for _ in range(_MOST_STEPS):
        scaled = residual / diagonal
        now = float((residual * scaled).sum())
        if now <= enough:
            break
        step = scaled + (now / before) * step
        product = matrix @ step
        length = now / float((step * product).sum())
        x = x + length * step
        residual -= length * product
        before = now
    return x
