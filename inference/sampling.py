"""What a training step looks at: a case and a place in it drawn by chance, and the augmented patch round that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from contourdesk.app.errors import UserError
from contourdesk.app.naming import label_key
from contourdesk.inference.augment import (
    blank_outside_organs,
    change_intensity,
    cut_patch,
    mirror_known,
    mirror_left_right,
)
from contourdesk.inference.losses import deep_supervision_loss
from contourdesk.inference.train_plans import TrainConfig
from contourdesk.inference.training_data import TrainingCase

_AT_AN_ORGAN = 0.75  # of the patches


def paired_labels(labels: Mapping[str, int]) -> dict[int, int]:
    """What labels become when the patient is mirrored, as far as that is something else.

    Organs of the two sides trade places, however the sides are written ("Parotid_L", "LeftParotid", "Parotid, left").
    An organ of one side whose other one has no label becomes 0: in the mirror image nobody has contoured it.
    """
    by_key = {label_key(name): value for name, value in labels.items()}
    out = {}
    for (organ, side), value in by_key.items():
        if side in ("R", "L"):
            out[value] = by_key.get((organ, "L" if side == "R" else "R"), 0)
    return out


class Draw:
    """Draws a case and mostly a voxel of a known organ, each organ as often as the others; old cases by their share.

    Raises
    ------
    UserError : nothing is contoured in any of the cases.
    """

    def __init__(self, cases: Sequence[TrainingCase], mix_share: float) -> None:
        self.share = mix_share
        self.groups = [found for old in (False, True) if (found := [c for c in cases if c.old is old])]
        self.having: list[dict[int, list[TrainingCase]]] = []
        for group in self.groups:
            organs = sorted({k for c in group for k in c.organ_voxels})
            self.having.append({k: [c for c in group if k in c.organ_voxels] for k in organs})
        if not all(self.having) or not self.having:
            raise UserError(
                "Nothing is contoured in any of the cases.", "Accept structures in reviews and export them."
            )

    def __call__(self, rng: np.random.Generator) -> tuple[TrainingCase, np.ndarray | None]:
        """A case and the index (z, y, x) of a voxel of an organ, or None for any place."""
        group = int(rng.random() < self.share) if len(self.groups) > 1 else 0
        cases, having = self.groups[group], self.having[group]
        if rng.random() < _AT_AN_ORGAN:
            organ = int(rng.choice(list(having)))
            case = having[organ][rng.integers(len(having[organ]))]
            places = case.organ_voxels[organ]
            return case, places[rng.integers(len(places))]
        return cases[rng.integers(len(cases))], None

    def forget(self) -> None:
        """Let go of the cases' files."""
        self.groups, self.having = [], []


class PatchSampler:
    """Draws augmented batches of 3D patches.

    Parameters
    ----------
    cases : preprocessed;  patch : voxels (z, y, x);  spacing_mm : of them (z, y, x).
    air : the normalised intensity of air;  swap : see `paired_labels`.
    """

    loss = staticmethod(deep_supervision_loss)  # of the network's outputs and what `batch` gives after the images

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        config: TrainConfig,
        patch: tuple[int, int, int],
        spacing_mm: tuple[float, float, float],
        air: float,
        swap: Mapping[int, int],
    ) -> None:
        self.patch, self.spacing_mm, self.air, self.swap = patch, spacing_mm, air, swap
        self.batch_size, self.how, self.seed = config.batch_size or 2, config.augmentation, config.seed
        self.draw = Draw(cases, config.mix_share)

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Images (batch, 1, z, y, x), labels (batch, z, y, x), known organs (batch, classes); by the step alone."""
        rng = np.random.default_rng([self.seed, step])
        drawn = [self._one(rng) for _ in range(self.batch_size)]
        images, labels, known = zip(*drawn, strict=True)
        return torch.stack(images)[:, None], torch.stack(labels), torch.stack(known)

    def _one(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        how = self.how
        case, voxel = self.draw(rng)
        if voxel is not None:
            centre = voxel + rng.uniform(-0.25, 0.25, 3) * self.patch
        else:
            centre = rng.uniform(0, 1, 3) * (np.array(case.image.shape) - 1)
        image, labels = cut_patch(case.image, case.labels, centre, self.patch, self.air, self.spacing_mm, rng, how)
        known = case.known
        if rng.random() < how.p_mirror:
            image, labels = mirror_left_right(image, labels, self.swap)
            known = mirror_known(known, self.swap)
        image = change_intensity(image, self.air, rng, how)
        if rng.random() < how.p_blank and len(image) > 2:
            image = blank_outside_organs(image, labels, self.air, rng)
        return image, labels, known
