"""Training on slices, for the networks that work on them: what differs from training on 3D patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contourdesk.inference.augment import change_intensity, mirror_known, mirror_left_right
from contourdesk.inference.elastic import elastic_displacement, inside, sample_tile, turn_and_scale
from contourdesk.inference.losses import IGNORE, weighted_cross_entropy
from contourdesk.inference.overlap_tile import MARGIN
from contourdesk.inference.sampling import Draw
from contourdesk.inference.train_plans import TrainConfig
from contourdesk.inference.training_data import TrainingCase
from contourdesk.inference.weight_map import class_weights, weight_map


class SliceSampler:
    """Draws augmented axial tiles with their weight maps: mostly through a known organ, each as often as the others.

    Parameters
    ----------
    cases : preprocessed training cases;  tile : (y, x) of the network's input.
    air : the normalised intensity of air;  swap : see `contourdesk.inference.train.paired_labels`.
    """

    loss = staticmethod(weighted_cross_entropy)  # of the network's output and what `batch` gives after the images

    def __init__(
        self, cases: list[TrainingCase], config: TrainConfig, tile: Sequence[int], air: float, swap: Mapping[int, int]
    ) -> None:
        self.air, self.swap, self.how = air, swap, config.augmentation
        self.batch_size = config.batch_size or 2
        self.seed = config.seed
        self.draw = Draw(cases, config.mix_share)
        self.tile = tuple(tile)
        self.of_class = class_weights(count_pixels(cases))

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Images (batch, 1, y, x); of their middles labels, known organs (batch, classes) and weights (batch, y, x)."""
        rng = np.random.default_rng([self.seed, step])
        drawn = [self._one(rng) for _ in range(self.batch_size)]
        images, labels, known, weights = (torch.stack(part) for part in zip(*drawn, strict=True))
        return images[:, None], labels, known, weights

    def _one(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        case, z, corner = self._place(rng)
        how, known = self.how, case.known
        bend = torch.zeros(2, *self.tile)
        if rng.random() < how.p_spatial:
            angle = np.deg2rad(rng.uniform(-how.rotation_degrees, how.rotation_degrees))
            zoom = float(np.exp(rng.uniform(*np.log(how.scale))))
            bend = elastic_displacement(self.tile, rng, how.elastic_px) + turn_and_scale(self.tile, angle, zoom)
        middle = bend[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        top, left = corner
        image = sample_tile(case.image[z].float(), top - MARGIN, left - MARGIN, bend, nearest=False)
        labels = sample_tile(case.labels[z], top, left, middle, nearest=True)
        labels[~inside(case.labels.shape[1:], top, left, middle)] = IGNORE
        if rng.random() < how.p_mirror:
            image, labels = mirror_left_right(image, labels, self.swap)
            known = mirror_known(known, self.swap)
        image = change_intensity(image[None], self.air, rng, how)[0]
        return image, labels, known, torch.from_numpy(weight_map(labels.numpy(), self.of_class))

    def _place(self, rng: np.random.Generator) -> tuple[TrainingCase, int, tuple[float, float]]:
        """A case, a slice of it, and where (y, x) the tile's result begins; inside the slice as far as it fits."""
        result = np.array(self.tile) - 2 * MARGIN
        case, voxel = self.draw(rng)
        z, *centre = voxel if voxel is not None else (int(rng.integers(n)) for n in case.image.shape)
        room = np.array(case.image.shape[1:]) - result
        wanted = np.array(centre) - np.round(rng.uniform(0.25, 0.75, 2) * result)
        top, left = np.where(room < 0, room // 2, np.clip(wanted, 0, np.maximum(room, 0)))
        return case, int(z), (float(top), float(left))


def count_pixels(cases: list[TrainingCase]) -> NDArray[np.int64]:
    """Pixels of each class in all cases, int64 (classes,)."""
    classes = len(cases[0].known)
    return sum((np.bincount(c.labels.numpy().ravel(), minlength=classes) for c in cases), np.zeros(classes, np.int64))
