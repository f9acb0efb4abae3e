"""Nearest cells against every pair of cells, and scipy's distance transform to the last bit."""

import numpy as np
import pytest
from phantoms import tilted_grid
from scipy import ndimage
from scipy.spatial.distance import cdist

from contourdesk.app import nearest
from contourdesk.app.geometry import Grid
from contourdesk.app.nearest import nearest_mm
from contourdesk.app.surfels import cell_steps

SPACINGS = [(1.0, 1.0, 1.0), (3.0, 1.2, 0.9), (0.7, 2.0, 5.0)]
EMPTY = np.zeros((3, 0), np.int64)
# However the work is shared between offsets, sweeps and tree.
SHARES = [{}, {"_OFFSETS": 20}, {"_TREE": 0, "_SWEEP": 0}, {"_TREE": 0, "_SWEEP": 1e9}, {"_TREE": 1e9}]
SHARES += [{"_TREE": 0, "_SWEEP": 1e9, "_REACH": 2}, {"_TREE": 0, "_SWEEP": 0, "_PARALLEL": 1}]


@pytest.fixture(params=SHARES, ids=str)
def share(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    for name, value in request.param.items():
        monkeypatch.setattr(nearest, name, value)
    nearest._offsets.cache_clear()
    yield
    nearest._offsets.cache_clear()


@pytest.mark.parametrize("grid", [*(Grid.from_spacing((20, 20, 20), s) for s in SPACINGS), tilted_grid()])
@pytest.mark.usefixtures("share")
def test_nearest_against_every_pair(grid: Grid) -> None:
    rng = np.random.default_rng(5)
    cells, others = (np.argwhere(rng.random((20, 20, 20)) < share).T for share in (0.03, 0.003))
    others += np.array([[2], [-1], [0]])
    cells = np.concatenate([[[-40], [3], [90]], cells, [[60], [5], [2]]], axis=1)
    expected = cdist(grid.to_world(cells.T), grid.to_world(others.T)).min(axis=1)
    steps = cell_steps(grid)
    exact = nearest_mm(cells, others, steps)
    assert exact == pytest.approx(expected, abs=1e-9)
    limited = nearest_mm(cells, others, steps, 3.5)
    assert (limited == np.where(exact <= 3.5, exact, np.inf)).all()
    assert 0 < np.isfinite(limited).sum() < limited.size


@pytest.mark.parametrize("spacing", [(30.0, 0.3, 0.3), (0.2, 9.0, 4.0)])
@pytest.mark.usefixtures("share")
def test_nearest_where_voxels_are_needles(spacing: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(6)
    cells, others = (np.argwhere(rng.random((9, 30, 30)) < 0.01).T for _ in range(2))
    steps = np.diag(spacing)
    expected = cdist(cells.T * spacing, others.T * spacing).min(axis=1)
    assert nearest_mm(cells, others, steps) == pytest.approx(expected, abs=1e-9)


def test_nearest_is_exact_in_whole_steps() -> None:
    steps = np.diag((2.5, 0.9, 0.7))
    cells, others = np.array([[1000], [7], [3]]), np.array([[1000], [4], [3]])
    assert nearest_mm(cells, others, steps).tolist() == [3 * 0.9]
    assert nearest_mm(cells, others, steps, 3 * 0.9).tolist() == [3 * 0.9]
    assert nearest_mm(cells, cells, steps).tolist() == [0]


def test_nearest_of_nothing() -> None:
    some, steps = np.array([[1], [2], [3]]), np.eye(3)
    assert nearest_mm(some, EMPTY, steps).tolist() == [np.inf]
    assert nearest_mm(EMPTY, some, steps).shape == nearest_mm(EMPTY, EMPTY, steps).shape == (0,)


@pytest.mark.parametrize("spacing", [*SPACINGS, (2.5, 0.9765625, 0.8)])
@pytest.mark.usefixtures("share")
def test_nearest_is_what_the_distance_transform_says_to_the_last_bit(spacing: tuple[float, float, float]) -> None:
    """But where two are equally near but for rounding: there the transform may take either."""
    there = np.random.default_rng(8).random((15, 30, 25)) < 0.002
    others = np.argwhere(there).T
    expected = ndimage.distance_transform_edt(~there, sampling=spacing).ravel()
    found = nearest_mm(np.argwhere(np.ones_like(there)).T, others, np.diag(spacing))
    assert found == pytest.approx(expected, rel=1e-15, abs=0)
    assert (found == expected).mean() > 0.99
