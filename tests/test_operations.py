"""Operations of the panel: each on a phantom whose right answer is known."""

from collections.abc import Mapping

import numpy as np
import pytest

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.operations import OPERATIONS, Scene, Value, apply
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

SHAPE = (12, 30, 40)
GRID = Grid.from_spacing(SHAPE, (3.0, 1.0, 2.0), (-39.0, -15.0, 0.0))
BY_ID = {o.id: o for o in OPERATIONS}


def _box(z: slice, y: slice, x: slice) -> Mask:
    bits = np.zeros(SHAPE, bool)
    bits[z, y, x] = True
    return Mask.from_dense(bits)


def _scene(others: Mapping[str, Mask] | None = None, cross: tuple[int, int, int] = (6, 15, 20), axis: int = 0) -> Scene:
    array = np.full(SHAPE, -1000, np.int16)
    array[:, 3:27, 4:36] = 40  # the body, symmetric about the middle of the grid
    array[5, 10, 10] = 900
    return Scene(Volume(GRID, array), others or {}, cross, axis)


def _do(name: str, mask: Mask, scene: Scene, **values: Value) -> np.ndarray:
    return run(apply(BY_ID[name], mask, scene, values)).dense(SHAPE)


def test_every_operation_has_words_and_ids_are_unique() -> None:
    assert len(BY_ID) == len(OPERATIONS)
    assert all(o.text and o.tip.endswith(".") for o in OPERATIONS)


def test_grow_and_shrink_in_mm() -> None:
    mask = _box(slice(4, 9), slice(10, 20), slice(15, 25))
    grown = _do("grow", mask, _scene(), mm=2.0)
    assert grown.sum(axis=(1, 2)).nonzero()[0].tolist() == [4, 5, 6, 7, 8]  # 3 mm slices: out of reach
    assert grown[6].any(axis=1).nonzero()[0][[0, -1]].tolist() == [8, 21]
    assert grown[6].any(axis=0).nonzero()[0][[0, -1]].tolist() == [14, 25]
    np.testing.assert_array_equal(
        _do("grow", mask, _scene(), mm=-1.0), _box(slice(4, 9), slice(11, 19), slice(15, 25)).dense(SHAPE)
    )


def test_margin_by_direction() -> None:
    found = _do("margin", _box(slice(4, 9), slice(10, 20), slice(15, 25)), _scene(), left=4.0, superior=3.0)
    wanted = _box(slice(4, 9), slice(10, 20), slice(15, 27)).dense(SHAPE)
    wanted[9, 10:20, 15:25] = True
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(("name", "slices"), [("cut_up", range(4, 7)), ("cut_down", range(6, 9))])
def test_cut_keeps_the_shown_slice(name: str, slices: range) -> None:
    found = _do(name, _box(slice(4, 9), slice(10, 20), slice(15, 25)), _scene())
    assert found.any(axis=(1, 2)).nonzero()[0].tolist() == list(slices)


def test_up_is_towards_the_head_also_when_the_array_runs_down() -> None:
    affine = GRID.affine.copy()
    affine[:3, 0] *= -1
    volume = Volume(Grid(SHAPE, affine), np.zeros(SHAPE, np.int16))
    scene = Scene(volume, {}, (6, 15, 20), 0)
    found = run(apply(BY_ID["cut_up"], _box(slice(4, 9), slice(1, 2), slice(1, 2)), scene, {}))
    assert found.dense(SHAPE).any(axis=(1, 2)).nonzero()[0].tolist() == [6, 7, 8]


def test_copy_from_the_neighbouring_slice() -> None:
    mask = _box(slice(7, 8), slice(10, 20), slice(15, 25))
    copied = _do("copy_up", mask, _scene())
    np.testing.assert_array_equal(copied[6], copied[7])
    assert copied.sum() == 2 * 100
    np.testing.assert_array_equal(_do("copy_down", mask, _scene(cross=(8, 0, 0)))[8], copied[7])
    with pytest.raises(UserError, match="no slice"):
        _do("copy_up", mask, _scene(cross=(11, 0, 0)))


def test_parts_and_holes() -> None:
    bits = np.zeros(SHAPE, bool)
    bits[4:9, 10:20, 15:25] = True
    bits[6, 14, 20] = False
    bits[1, 2, 3] = True
    mask = Mask.from_dense(bits)
    for name, values in (("largest", {}), ("islands", {"ml": 0.01})):
        found = _do(name, mask, _scene(), **values)
        assert not found[1].any()
        assert found.sum() == 499
    assert _do("islands", mask, _scene(), ml=0.001).sum() == 500
    assert _do("holes", mask, _scene()).sum() == 501


def test_gaps_between_drawn_slices_are_filled() -> None:
    bits = np.zeros(SHAPE, bool)
    bits[2, 10:20, 10:20] = bits[8, 10:20, 14:24] = True
    found = _do("interpolate", Mask.from_dense(bits), _scene())
    np.testing.assert_array_equal(found[[2, 8]], bits[[2, 8]])
    np.testing.assert_array_equal(found[5], _box(slice(5, 6), slice(10, 20), slice(12, 22)).dense(SHAPE)[5])


def test_values_body_and_booleans() -> None:
    mask = _box(slice(4, 9), slice(0, 20), slice(5, 15))
    assert _do("threshold", mask, _scene(), low=800, high=1000).sum() == 1
    body = _do("body", mask, _scene())
    assert body.any(axis=(0, 2)).nonzero()[0][0] == 3
    assert _do("body", mask, _scene(), mm=2.0).any(axis=(0, 2)).nonzero()[0][0] == 5
    scene = _scene({"b": _box(slice(4, 9), slice(15, 25), slice(5, 15))})
    assert _do("intersect", mask, scene, other="b").sum() == 5 * 5 * 10
    assert _do("union", mask, scene, other="b").sum() == 5 * 25 * 10
    assert _do("subtract", mask, scene, other="b").sum() == 5 * 15 * 10
    assert _do("subtract", mask, scene, other="b", mm=2).sum() == 5 * 13 * 10
    with pytest.raises(UserError, match="Choose one"):
        _do("union", mask, scene)


def test_mirror_changes_sides_about_the_body() -> None:
    right = _box(slice(4, 9), slice(10, 20), slice(6, 12))
    found = _do("mirror", Mask(), _scene({"r": right}), other="r")
    np.testing.assert_array_equal(found, right.dense(SHAPE)[:, :, ::-1])


def test_smoothing_takes_a_spur_and_keeps_the_volume() -> None:
    bits = np.zeros(SHAPE, bool)
    bits[3:9, 8:22, 12:28] = True
    spur = bits.copy()
    spur[5, 15, 28:33] = True
    found = _do("smooth", Mask.from_dense(spur), _scene(), mm=2.0)
    assert not found[5, 15, 30:].any()
    assert abs(int(found.sum()) - int(spur.sum())) <= 0.02 * spur.sum()


def test_a_range_of_values_within_another_structure_is_added() -> None:
    mask, other = _box(slice(2, 3), slice(5, 8), slice(5, 8)), _box(slice(4, 7), slice(8, 13), slice(8, 13))
    found = _do("range_in", mask, _scene({"o": other}), other="o", low=500.0, high=1000.0)
    wanted = mask.dense(SHAPE)
    wanted[5, 10, 10] = True
    np.testing.assert_array_equal(found, wanted)


def test_seeds_grow_to_the_skin_and_shown_structures_hold_against_them() -> None:
    mask, other = _box(slice(5, 7), slice(6, 9), slice(8, 12)), _box(slice(5, 7), slice(20, 24), slice(8, 32))
    scene = _scene({"o": other})
    found = _do("seeds", mask, scene, mm=30.0, smooth=0.0)
    assert found[mask.dense(SHAPE)].all() and not found[other.dense(SHAPE)].any()
    assert not found[:, :2].any()  # the air
    assert found[6, 5:12, 7:17].mean() > 0.9  # half way to what lies beyond 30 mm
    hidden = Scene(scene.volume, scene.others, scene.cross, 0, frozenset({"o"}))
    assert _do("seeds", mask, hidden, mm=30.0, smooth=0.0)[other.dense(SHAPE)].any()
