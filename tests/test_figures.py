"""Figures on a change against numbers worked out by hand; time at work without the pauses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hands import structure

from contourdesk.app.active_time import ActiveTime
from contourdesk.app.figures import DEFINITIONS, change_figures, duration, figures, seconds_of, texts, to_json
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.structures import Decision, Mask, Provenance, Structure

GRID = Grid.from_spacing((8, 30, 30), (4, 2, 2), (0, 0, 0))  # 0.016 ml a voxel


def box(z0: int, z1: int, y0: int, y1: int, x0: int, x1: int) -> Mask:
    bits = np.zeros(GRID.shape, bool)
    bits[z0:z1, y0:y1, x0:x1] = True
    return Mask.from_dense(bits)


def test_one_side_moved_out_on_three_of_five_slices() -> None:
    before = box(1, 6, 5, 15, 5, 15)
    grown = before.dense(GRID.shape)
    grown[1:4, 5:15, 15:17] = True  # two columns of ten voxels more, on three slices
    f = figures(before, Mask.from_dense(grown), GRID)
    assert f.dice == pytest.approx(2 * 500 / (500 + 560))
    assert f.volume_change_ml == pytest.approx(60 * 0.016)
    assert f.volume_change_percent == pytest.approx(12)
    assert (f.slices_touched, f.slices) == (3, 5)
    # On each slice the right side (10 voxels) and one voxel more at the top and at the bottom are new outline: columns
    # 15 and 16 at the top and at the bottom, and 8 more on column 16.
    assert f.added_path_mm == pytest.approx(3 * (2 + 2 + 8) * 2)
    assert f.hd95_mm == pytest.approx(4)
    assert not f.unchanged


def test_the_same_and_empty_ones() -> None:
    mask = box(1, 6, 5, 15, 5, 15)
    same = figures(mask, mask, GRID)
    assert same.unchanged
    assert (same.dice, same.surface_dice, same.hd95_mm, same.added_path_mm) == (1, 1, 0, 0)
    gone = figures(mask, Mask(), GRID)
    assert (gone.dice, gone.added_path_mm, gone.slices_touched) == (0, 0, 5)
    assert math.isinf(gone.hd95_mm)
    assert texts(gone)["hd95_mm"] == "–"
    assert figures(Mask(), Mask(), GRID).slices == 0
    assert texts(figures(Mask(), mask, GRID))["volume_change_ml"] == "+8.0 ml (new)"


def test_only_what_changed_is_computed_again() -> None:
    first = structure("A", box(1, 6, 5, 15, 5, 15).dense(GRID.shape), decision=Decision())
    drawn = Structure("B", (0, 0, 0), box(1, 3, 5, 7, 5, 7), Provenance("reviewer"), edited=True)
    known = run(change_figures([first, drawn], GRID, {}))
    assert list(known) == [first.id]
    again = run(change_figures([first, drawn], GRID, known))
    assert again[first.id][2] is known[first.id][2]


def test_every_figure_has_a_definition_and_a_text() -> None:
    mask = box(1, 6, 5, 15, 5, 15)
    assert set(texts(figures(mask, mask, GRID), 5)) == {d.key for d in DEFINITIONS}
    assert all(d.text.endswith(".") for d in DEFINITIONS)


def test_what_is_kept_with_the_review() -> None:
    first = structure("A", box(1, 6, 5, 15, 5, 15).dense(GRID.shape), decision=Decision())
    gone = structure("C", np.zeros(GRID.shape, bool), decision=Decision(), first=first.mask)
    kept = to_json(run(change_figures([first, gone], GRID, {})), {first.id: 61.234})
    assert kept["seconds"] == {first.id: 61.2}
    assert kept["figures"][first.id]["dice"] == 1
    assert kept["figures"][gone.id]["hd95_mm"] is None
    assert seconds_of(kept) == {first.id: 61.2}
    assert seconds_of({"seconds": {"a": -1, "b": "x", "c": float("nan"), "d": 3}}) == {"d": 3.0}
    assert seconds_of({"seconds": [1]}) == {}


def test_pauses_do_not_count() -> None:
    time = ActiveTime({"a": 10.0})
    for at in (100.0, 130.0, 190.0):  # 30 s and 60 s for a
        time.note("a", at)
    time.note("b", 251.0)  # 61 s: a pause
    time.note("b", 255.0)
    time.note(None, 260.0)
    time.note("a", 270.0)  # nothing was active
    assert time.seconds == {"a": 100.0, "b": 9.0}


@pytest.mark.parametrize(("seconds", "text"), [(None, "–"), (0, "0:00 min"), (61.4, "1:01 min"), (3723, "1:02:03 h")])
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
