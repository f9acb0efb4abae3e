"""Losses for partly labelled cases: an organ that nobody contoured is unknown there, not background.

Target values: 0 = background *or any organ unknown in that case*, k = organ k, -1 = leave the voxel out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -1


def partial_dice_ce(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Dice + cross-entropy in which unknown organs may be anything that is not a known organ.

    Where the target is background, the cross-entropy asks only that background and the unknown organs *together*
    have the probability (marginal likelihood); Dice is taken over known organs alone, over the whole batch.

    Parameters
    ----------
    logits : (batch, classes, *spatial), class 0 is background.
    target : (batch, *spatial) integer, see the module's text.
    known : (batch, classes) bool, whether the case was contoured for the class; column 0 is ignored.

    Source: the marginal loss of Shi et al., Med. Image Anal. 70 (2021) 101979; nnU-Net's Dice + CE otherwise.
    """
    dims = [1] * (logits.ndim - 2)
    log_p = F.log_softmax(logits.float(), dim=1)
    picked = _log_likelihood(log_p, target, known)
    valid = target != IGNORE
    index = target.clamp(min=0).long()[:, None]
    count = valid.sum().clamp(min=1)
    cross_entropy = -(picked * valid).sum() / count

    probability = log_p.exp() * valid[:, None] * known.view(*known.shape, *dims)
    onehot = torch.zeros_like(probability).scatter_(1, index, 1.0) * valid[:, None]
    axes = [0, *range(2, logits.ndim)]
    intersection = (probability * onehot).sum(axes)[1:]
    size = (probability.sum(axes) + onehot.sum(axes))[1:]
    # Dice only for organs that the batch shows: smoothed Dice of an absent one would press its probability down a
    # hundred times harder than a present one lifts it, and small organs would never be learnt.
    seen = onehot.sum(axes)[1:] > 0
    dice = 2 * intersection / size.clamp(min=1e-8)
    return cross_entropy + (1 - dice[seen]).mean() if bool(seen.any()) else cross_entropy


def weighted_cross_entropy(logits: Tensor, target: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of the cross-entropy, the 2015 U-Net's loss; unknown organs as in `partial_dice_ce`.

    `weights` (batch, *spatial) says how much each pixel counts, see `contourdesk.inference.weight_map`.
    """
    picked = _log_likelihood(F.log_softmax(logits.float(), dim=1), target, known)
    counts = weights * (target != IGNORE)
    return -(picked * counts).sum() / counts.sum().clamp(min=1e-8)


def _log_likelihood(log_p: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Log-probability (batch, *spatial) of the target; of background and all unknown organs together where it is 0."""
    free = ~known
    free[:, 0] = True  # background and every unknown organ may share what is not a known organ
    others = ~free.view(*free.shape, *[1] * (log_p.ndim - 2))
    log_free = torch.logsumexp(log_p.masked_fill(others, torch.finfo(log_p.dtype).min), dim=1)
    index = target.clamp(min=0).long()
    return torch.where(index == 0, log_free, log_p.gather(1, index[:, None])[:, 0])


def deep_supervision_loss(outputs: Sequence[Tensor], target: Tensor, known: Tensor) -> Tensor:
    """Weighted sum over the decoder's outputs, weights 1, 1/2, 1/4 … and 0 for the coarsest (nnU-Net's rule)."""
    weights = [0.5**i for i in range(len(outputs))]
    if len(weights) > 1:
        weights[-1] = 0.0
    total = sum(weights)
    loss = outputs[0].new_zeros(())
    for weight, logits in zip(weights, outputs, strict=True):
        if weight == 0:
            continue
        small = F.interpolate(target[:, None].float(), size=logits.shape[2:], mode="nearest")[:, 0].long()
        loss = loss + weight / total * partial_dice_ce(logits, small, known)
    return loss
