"""The 2015 U-Net's weight map: how much each pixel counts in the loss.

Rare classes count more (class balance), and so does the background between two neighbours, which must not grow into
one (border term). A "cell" of the paper is here a connected part of one organ in the slice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

W0 = 10.0
SIGMA_PX = 5.0
# No class counts more than this many times another. Organs are a thousandth of a slice: weights that made up for all
# of that would let the background be flooded. The authors' later code, too, has background at a tenth.
MOST = 10.0


def class_weights(counts: NDArray[np.integer], most: float = MOST) -> NDArray[np.float32]:
    """Weight of each class for its number of pixels in the training data: inverse to it, within a ratio of `most`.

    Scaled so that the mean over all pixels is 1. A class without pixels has the largest weight. float32 (classes,).
    """
    frequency = counts / max(1, counts.sum())
    inverse = 1 / np.maximum(frequency, 1e-12)
    weights = np.minimum(inverse, most * inverse.min())
    return np.asarray(weights / (weights * frequency).sum(), dtype=np.float32)


def border_term(labels: NDArray[np.integer], w0: float = W0, sigma_px: float = SIGMA_PX) -> NDArray[np.float32]:
    """``w0 * exp(-(d1 + d2)² / (2 sigma²))`` on the background, 0 on organs and where there are no two of them.

    Parameters
    ----------
    labels : (y, x), 0 and below is background. Each connected part (8 neighbours) of each label is an organ of its own.
    w0, sigma_px : height, and width in pixels, 10 and 5 in the paper.

    Returns
    -------
    float32 (y, x). d1 and d2 are the distances in pixels to the nearest pixel of the nearest and of the second nearest
    organ.
    """
    out = np.zeros(labels.shape, np.float32)
    nearest = np.full((2, *labels.shape), np.inf)
    found = 0
    for value in np.unique(labels[labels > 0]):
        parts, count = ndimage.label(labels == value, np.ones((3, 3)))
        found += count
        for part in range(1, count + 1):
            distance = ndimage.distance_transform_edt(parts != part)
            farther = np.maximum(nearest[0], distance)
            np.minimum(nearest[0], distance, out=nearest[0])
            np.minimum(nearest[1], farther, out=nearest[1])
    if found < 2:
        return out
    background = labels <= 0
    out[background] = w0 * np.exp(-(nearest.sum(axis=0)[background] ** 2) / (2 * sigma_px**2))
    return out


def weight_map(
    labels: NDArray[np.integer], of_class: NDArray[np.float32], w0: float = W0, sigma_px: float = SIGMA_PX
) -> NDArray[np.float32]:
    """``w(x) = w_c(x) + w0 * exp(-(d1(x) + d2(x))² / (2 sigma²))`` for labels (y, x); float32 (y, x).

    `of_class` (classes,) is w_c, see `class_weights`; for the rest see `border_term`.
    """
    out: NDArray[np.float32] = of_class[np.maximum(labels, 0)] + border_term(labels, w0, sigma_px)
    return out
