"""The second stage of a cascade: the first stage's labels, resampled to become part of the network's input."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contourdesk.inference.drawing import Samples, between, samples_along
from contourdesk.inference.preprocess import Shape, nearest_like_zoom

_SLAB_BYTES = 64 * 2**20


def resample_labels(labels: NDArray[np.integer], new_shape: Shape, axis: int | None) -> Tensor:
    """Labels (z, y, x) at `new_shape`, each voxel the label whose share there is largest; int16.

    What nnU-Net does (``resize_segmentation`` of order 1): each label's own mask is interpolated linearly (nearest
    neighbour along `axis`), the largest wins, and where two are level the nearest voxel's label, if it is one of
    them, and else the smaller.
    """
    if tuple(labels.shape) == tuple(new_shape):
        return torch.from_numpy(labels.astype(np.int16))
    old = labels.shape
    axes = [samples_along(old[a], new_shape[a], a == axis, slice(None)) for a in range(3)]
    nearest = [axes[a].low if a == axis else nearest_like_zoom(old[a], new_shape[a]).astype(np.int64) for a in range(3)]
    out = torch.empty(tuple(new_shape), dtype=torch.int16)
    step = max(1, _SLAB_BYTES // (8 * 4 * max(1, new_shape[1] * new_shape[2])))
    for start in range(0, new_shape[0], step):
        part = slice(start, min(start + step, new_shape[0]))
        first, last = int(axes[0].low[part.start]), int(axes[0].high[part.stop - 1]) + 1
        first, last = min(first, int(nearest[0][part].min())), max(last, int(nearest[0][part].max()) + 1)
        slab = torch.from_numpy(labels[first:last].astype(np.int16))
        near = slab[torch.from_numpy(nearest[0][part] - first)][:, torch.from_numpy(nearest[1])]
        near = near[:, :, torch.from_numpy(nearest[2])]
        out[part] = _largest_share(slab, near, axes, part, first)
    return out


def _largest_share(slab: Tensor, near: Tensor, axes: list[Samples], part: slice, first: int) -> Tensor:
    kinds = slab.unique().tolist()
    winner = torch.full_like(near, kinds[0])
    if len(kinds) == 1:
        return winner
    best: Tensor | None = None
    near_leads = torch.zeros(near.shape, dtype=torch.bool)
    for kind in kinds:
        share = (slab == kind).double()
        share = between(share, axes[0], part, 0, first)
        share = between(between(share, axes[1], slice(None), 1, 0), axes[2], slice(None), 2, 0)
        if best is None:
            best, near_leads = share, near == kind
            continue
        more, level = share > best, share == best
        winner[more] = kind
        near_leads = torch.where(more, near == kind, near_leads | (level & (near == kind)))
        best = torch.maximum(best, share)
    return torch.where(near_leads, near, winner)
