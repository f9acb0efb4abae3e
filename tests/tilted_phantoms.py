"""Phantoms of tilted and uneven series, and an ellipsoid whose outline is known on every plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from phantoms import CtPhantom, make_ct
from pydicom.dataset import Dataset

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import SeriesInfo, read_series, scan
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.resample import Resample

TILT = np.radians(13.5)
TILTED = (1, 0, 0, 0, np.cos(TILT), np.sin(TILT))
CENTRE, RADII = np.array([0.3, 1.7, -8.4]), np.array([17.0, 13.0, 15.0])  # of the ellipsoid, mm
Float = NDArray[np.float64]


def series(folder: Path) -> SeriesInfo:
    (info,) = run(scan(folder))
    return info


def resampled(folder: Path) -> tuple[Case, Resample]:
    info = series(folder)
    assert not info.usable and info.resample is not None
    case = run(read_series(info, info.resample))
    assert case.source.resampled is info.resample
    return case, info.resample


def at_places(places: Sequence[float], tags: Callable[[Dataset], None] = lambda ds: None) -> Callable:
    """An edit for `make_ct` that puts each slice at its own z, straight up, whatever the planes' tilt."""

    start: list[str] = []

    def edit(ds: Dataset, k: int) -> None:
        if k == 0:
            start[:] = [str(v) for v in ds.ImagePositionPatient[:2]]
        ds.ImagePositionPatient = [*start, f"{places[k]:.6f}"]
        tags(ds)

    return edit


UNEVEN = [-50 + 2.5 * k for k in range(16)] + [-11.7 + 4.0 * k for k in range(8)]


def voxel_centres(grid: Grid) -> Float:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return grid.to_world(index)


def in_ellipsoid(points: Float) -> NDArray[np.bool_]:
    return (((points - CENTRE) / RADII) ** 2).sum(axis=-1) <= 1


def ellipse_on(how: Resample, k: int) -> Float | None:
    """Outline (LPS mm) of the ellipsoid on an original plane: solved along rays from a point inside."""
    planes = how.planes
    u, v = planes.along_row, planes.down_column
    # |(p + a u + b v - c) / r| = 1 is a conic in a and b: its centre and axes by linear algebra.
    m = np.column_stack([u, v]) / RADII[:, None]
    d = (planes.origins_lps[k] - CENTRE) / RADII
    middle = -np.linalg.solve(m.T @ m, m.T @ d)
    rest = 1 - float(((d + m @ middle) ** 2).sum())
    if rest <= 0:
        return None
    root = np.linalg.cholesky(np.linalg.inv(m.T @ m)) * np.sqrt(rest)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ab = middle[:, None] + root @ np.stack([np.cos(angle), np.sin(angle)])
    return np.asarray(planes.origins_lps[k] + np.outer(ab[0], u) + np.outer(ab[1], v))


def ellipsoid_ct(folder: Path, places: list[float], hu: NDArray[np.int16] | None = None) -> CtPhantom:
    shape = (len(places), 60, 56)
    return make_ct(folder, shape, (3, 0.9, 1), TILTED, origin_lps=(-27, -25, places[0]), edit=at_places(places), hu=hu)


EVEN = [-42 + 2.0 * k for k in range(36)]
CHANGING = [-42 + 2.0 * k for k in range(17)] + [-7.1 + 3.0 * k for k in range(9)]
