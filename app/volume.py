"""An image: where it lies, its numbers, their unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.geometry import Grid


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels on a `Grid`.

    Parameters
    ----------
    grid : where the voxels are.
    array : (z, y, x), integer or float; made read-only.
    unit : "HU" for CT, else "SUV", "Gy" or "".
    window : the file's own display window as (centre, width), or None.
    padding : value that marks voxels outside the scanner's field of view, or None.

    Raises
    ------
    ValueError : array and grid differ in shape.
    """

    grid: Grid
    array: NDArray[np.generic]
    unit: str = "HU"
    window: tuple[float, float] | None = None
    padding: float | None = field(default=None)

    def __post_init__(self) -> None:
        if tuple(self.array.shape) != self.grid.shape:
            raise ValueError(f"array has shape {self.array.shape}, grid {self.grid.shape}")
        view = self.array.view()
        view.setflags(write=False)
        object.__setattr__(self, "array", view)

    def value_at(self, index_zyx: tuple[int, int, int]) -> float | None:
        """The voxel's value, or None outside the volume."""
        if all(0 <= i < n for i, n in zip(index_zyx, self.grid.shape, strict=True)):
            return float(self.array[index_zyx])
        return None
