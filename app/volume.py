"""An image: where it lies, its numbers, their unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.geometry import Box, Grid

_TISSUE_HU = -400
_SAMPLES = 96  # along each axis: enough to frame a picture


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels on a `Grid`.

    Parameters
    ----------
    grid : where the voxels are.
    array : (z, y, x), integer or float; made read-only.
    unit : "HU" for CT, else "SUV", "Gy" or "".
    window : the file's own display window as (centre, width), or None.
    padding, padding_limit : values from the one to the other (mostly they are the same) mark voxels outside the
        scanner's field of view; None when there are none.

    Raises
    ------
    ValueError : array and grid differ in shape.
    """

    grid: Grid
    array: NDArray[np.generic]
    unit: str = "HU"
    window: tuple[float, float] | None = None
    padding: float | None = field(default=None)
    padding_limit: float | None = None

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

    def body_box(self) -> Box:
        """Box (z, y, x) round the patient, as well as is good for framing a picture; the whole grid where unknown.

        Made from samples of the array, so it is quick, and lines in which next to nothing is tissue don't count.
        """
        whole = tuple(slice(0, n) for n in self.grid.shape)
        if self.unit != "HU":
            return whole[0], whole[1], whole[2]
        steps = [max(1, n // _SAMPLES) for n in self.grid.shape]
        samples = self.array[tuple(slice(None, None, step) for step in steps)]
        tissue = samples.astype(np.float32) > _TISSUE_HU
        box = []
        for axis, (step, full) in enumerate(zip(steps, whole, strict=True)):
            counts = np.count_nonzero(tissue, axis=tuple(a for a in range(3) if a != axis))
            where = np.flatnonzero(counts > 0.005 * counts.max())
            if where.size == 0:
                return whole[0], whole[1], whole[2]
            box.append(slice(max(0, int(where[0] - 1) * step), min(full.stop, int(where[-1] + 2) * step)))
        return box[0], box[1], box[2]
