"""The slices worth a look, on phantoms where one slice is known to be odd."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contourdesk.app.attention import LEAST, attention, listed, next_spot, slice_scores
from contourdesk.app.confidence import Confidence
from contourdesk.app.finding import Finding
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.structures import Decision, Mask, Provenance, Structure, StructureSet

GRID = Grid.from_spacing((30, 60, 50), (3.0, 1.0, 1.5))


def radius_mm() -> np.ndarray:
    y, x = np.meshgrid(np.arange(60) - 30, (np.arange(50) - 25) * 1.5, indexing="ij")
    return np.hypot(y, x)


def tube(radii: dict[int, float] | None = None) -> np.ndarray:
    """A tube of 10 mm from slice 5 to 24, with other radii where told."""
    bits = np.zeros(GRID.shape, bool)
    for z in range(5, 25):
        bits[z] = radius_mm() <= (radii or {}).get(z, 10.0)
    return bits


def structure(bits: np.ndarray, **more: object) -> Structure:
    return Structure("Tube", (1, 2, 3), Mask.from_dense(bits), Provenance("model"), id="tube", **more)


def sharp(wide: dict[int, float]) -> Confidence:
    """Probabilities that rise over 1 mm at the edge, and over more mm on the slices told."""
    chance = np.zeros(GRID.shape)
    for z in range(5, 25):
        chance[z] = np.clip(0.5 + (10 - radius_mm()) / wide.get(z, 1.0), 0, 1)
    return Confidence((0, 0, 0), np.round(chance * 255).astype(np.uint8))


def spots(s: Structure, confidence: Confidence | None = None, findings: tuple[Finding, ...] = ()):
    kept = {} if confidence is None else {"tube": confidence}
    scored = run(attention(StructureSet(GRID, (s,)), kept))
    return listed(scored, findings, GRID)


def test_an_even_tube_is_worth_no_look():
    assert spots(structure(tube()), sharp({})) == []


def test_a_slice_that_is_larger_than_its_neighbours():
    (spot,) = spots(structure(tube({12: 13.0})))
    assert spot.slice_index == 12
    assert spot.text("Tube").startswith("Tube, slice 13: area jumps by 7")
    assert spot.index[0] == 12
    # It leads to where the slice is unlike: the rim between 10 and 13 mm.
    assert 10 <= radius_mm()[spot.index[1:]] <= 13


def test_a_slice_that_is_smaller():
    (spot,) = spots(structure(tube({12: 6.0})))
    assert "area falls by 6" in spot.text("Tube")


def test_a_slice_that_lies_elsewhere_with_the_same_area():
    bits = tube()
    bits[12] = np.roll(bits[12], 8, axis=0)
    found = spots(structure(bits))
    assert found[0].slice_index == 12
    assert "shape jumps (Dice 0.5" in found[0].text("Tube") or "shape jumps (Dice 0.4" in found[0].text("Tube")


def test_a_gap():
    bits = tube()
    bits[12] = False
    (spot,) = spots(structure(bits))
    assert spot.slice_index == 12
    assert spot.score >= 1
    assert spot.text("Tube") == "Tube, slice 13: nothing drawn between drawn slices"


def test_a_slice_whose_contour_is_unsure():
    (spot,) = spots(structure(tube()), sharp({17: 12.0}))
    assert spot.slice_index == 17
    assert spot.text("Tube") == "Tube, slice 18: contour uncertain"
    assert 7 <= radius_mm()[spot.index[1:]] <= 13


def test_parts_add_up_and_the_worst_comes_first():
    found = spots(structure(tube({12: 13.0, 20: 13.0})), sharp({12: 14.0}))
    assert [s.slice_index for s in found] == [12, 20]
    assert len(found[0].reasons) == 2


def test_ends_are_not_judged_by_their_one_neighbour():
    bits = tube({5: 4.0, 24: 4.0})
    scores = {s.slice_index: s.score for s in slice_scores(structure(bits), None, GRID)}
    assert scores[5] == scores[24] == 0


@pytest.mark.parametrize(("severity", "there"), [("error", True), ("warning", True), ("info", False)])
def test_findings(severity: str, there: bool):
    x, y, z = GRID.to_world((9, 30, 25))
    finding = Finding("tube", severity, "Tube has a hole.", (x, y, z))
    found = spots(structure(tube()), None, (finding, Finding("other", "error", "Other.", (x, y, z))))
    assert [s.slice_index for s in found] == ([9] if there else [])
    if there:
        assert found[0].text("Tube") == "Tube, slice 10: Tube has a hole"
        assert found[0].score >= LEAST


def test_decided_and_empty_structures_are_left_alone():
    s = structure(tube({12: 13.0}), decision=Decision("accepted"))
    assert spots(s) == []
    assert spots(structure(np.zeros(GRID.shape, bool))) == []


def test_only_what_changed_is_looked_at_again():
    s = structure(tube({12: 13.0}))
    items = StructureSet(GRID, (s, replace(structure(tube()), id="b", name="B")))
    before = run(attention(items, {}))
    after = run(attention(items.put(replace(s, mask=Mask.from_dense(tube()))), {}, before))
    assert after["b"] is before["b"]
    assert listed(after, (), GRID) == []


def test_visited_slices_go_to_the_end():
    found = spots(structure(tube({9: 14.0, 14: 13.5, 20: 13.0})))
    assert [s.slice_index for s in found] == [9, 14, 20]
    visited: dict[tuple[str, int], None] = {}
    seen = []
    for _ in range(5):
        spot = next_spot(found, visited)
        visited.pop(spot.key, None)
        visited[spot.key] = None
        seen.append(spot.slice_index)
    assert seen == [9, 14, 20, 9, 14]
    assert next_spot([], visited) is None


@pytest.mark.parametrize("axes", [(2, 1, 0), (0, 2, 1)])
def test_slices_run_along_the_acquisition_axis_however_it_lies(axes: tuple[int, int, int]):
    """The odd slice of a phantom that was acquired otherwise is found as the same number along axis 0."""
    affine = GRID.affine[:, [axes[0], axes[1], axes[2], 3]]
    bits = tube({12: 13.0})
    turned = Grid(GRID.shape, affine)
    s = structure(bits)
    scored = run(attention(StructureSet(turned, (s,)), {}))
    assert [x.slice_index for x in listed(scored, (), turned)] == [12]
