"""What a user may choose for a prediction, and what comes back beside the structures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from contourdesk.app.confidence import Confidence
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box, Grid
from contourdesk.app.structures import Structure


@dataclass(frozen=True)
class Options:
    """Choices for one prediction.

    Parameters
    ----------
    organs : names of the structures that are wanted, the model's own or those that the structures get (TG-263);
        all when None. Parts of a model that know none of them do not run.
    box : part of the volume's array (slice, row, column) that is wanted, see `box_from_mm`; all when None. Inside it
        the result is that of the whole image; only windows that touch it run.
    mirroring : also predict mirror images and take the mean, along the axes that the model's training mirrored.
        Without, it is 2 to 8 times faster and a little less accurate. A model trained without mirroring never does.
    step : largest distance of two windows as a part of the window.
    probabilities : keep each voxel's probability, see `Confidence`.
    postprocessing : do what the model folder's ``postprocessing.json`` says. Not done in a `box`.
    orientation : "LPS" (turn arrays to S, P, L first), "RAS" (to S, A, R) or "stored" (do not turn); what the model
        folder says when empty.
    batch : windows that go through the network together; 0 chooses by itself.
    """

    organs: tuple[str, ...] | None = None
    box: Box | None = None
    mirroring: bool = True
    step: float = 0.5
    probabilities: bool = False
    postprocessing: bool = True
    orientation: str = ""
    batch: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.step <= 1:
            raise UserError(f"A step of {self.step} is not possible.", "Choose a number above 0, at most 1.")
        if self.orientation not in ("", "LPS", "RAS", "stored"):
            raise UserError(f"'{self.orientation}' is no orientation.", "Choose LPS, RAS or stored.")


class Prediction(list[Structure]):
    """The structures, in the model's order; and what else is to be said of them.

    Attributes
    ----------
    confidence : for each structure's id its `Confidence`, when `Options.probabilities` asked for it and there is any.
    notes : sentences for the user: what was left out, fallen back to, or applied.
    device : where it ran, in words.
    """

    def __init__(
        self,
        structures: Iterable[Structure] = (),
        confidence: dict[str, Confidence] | None = None,
        notes: Sequence[str] = (),
        device: str = "",
    ) -> None:
        super().__init__(structures)
        self.confidence = confidence or {}
        self.notes = tuple(dict.fromkeys(notes))
        self.device = device


def box_from_mm(grid: Grid, corner_lps: ArrayLike, opposite_lps: ArrayLike) -> Box:
    """The voxels of `grid` whose centres lie in the box between two LPS points in mm; oblique grids: the box round it.

    Raises
    ------
    UserError : there is none.
    """
    a, b = np.asarray(corner_lps, float), np.asarray(opposite_lps, float)
    corners = np.stack(np.meshgrid(*np.stack([a, b], 1), indexing="ij"), -1).reshape(-1, 3)
    index = grid.to_index(corners)
    low = np.maximum(np.ceil(index.min(0) - 1e-6), 0).astype(int)
    high = np.minimum(np.floor(index.max(0) + 1e-6) + 1, grid.shape).astype(int)
    if (low >= high).any():
        raise UserError("The box lies outside the image.", "Draw it anew.")
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])
