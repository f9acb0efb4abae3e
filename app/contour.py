"""One contour as DICOM knows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Contour:
    """Points in space.

    Parameters
    ----------
    points_lps : (n, 3) float64, LPS mm, made read-only; a closed contour does not repeat its first point.
    kind : DICOM Contour Geometric Type: CLOSED_PLANAR, OPEN_PLANAR, POINT, CLOSEDPLANAR_XOR, ...
    image_uid : SOP Instance UID of the image it was drawn on, empty when the file did not say.
    """

    points_lps: NDArray[np.float64]
    kind: str = "CLOSED_PLANAR"
    image_uid: str = ""

    def __post_init__(self) -> None:
        points = np.array(self.points_lps, dtype=np.float64).reshape(-1, 3)
        points.setflags(write=False)
        object.__setattr__(self, "points_lps", points)
