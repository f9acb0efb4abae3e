"""Each check finds its fault, says where, and is silent on a sound structure."""

import numpy as np
import pytest

from contourdesk.app.checks import Finding, check, side_of_name
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet
from contourdesk.app.volume import Volume

GRID = Grid.from_spacing((20, 40, 60), (3, 2, 2), (-59, -40, 100))  # the body's midline is at x = 0


def structure(name: str, *boxes: tuple[int, ...], kind: str = "ORGAN") -> Structure:
    dense = np.zeros(GRID.shape, bool)
    for z0, z1, y0, y1, x0, x1 in boxes:
        dense[z0:z1, y0:y1, x0:x1] = True
    return Structure(name, (0, 0, 0), Mask.from_dense(dense), Provenance("reviewer"), id=name, interpreted_type=kind)


def findings(*items: Structure, volume: Volume | None = None) -> list[Finding]:
    return run(check(StructureSet(GRID, items), volume))


def body() -> Volume:
    array = np.full(GRID.shape, -1000, np.int16)
    array[:, 5:35, 5:55] = 40
    return Volume(GRID, array)


def test_sound_structures_pass() -> None:
    assert (
        findings(
            structure("Parotid_L", (5, 8, 10, 15, 40, 45)),
            structure("Parotid_R", (5, 8, 10, 15, 15, 20)),
            volume=body(),
        )
        == []
    )


def test_empty() -> None:
    (found,) = findings(structure("Cord"))
    assert (found.severity, found.text, found.point_lps) == ("warning", "Cord is empty.", None)


def test_gap() -> None:
    parts = [f for f in findings(structure("Cord", (2, 5, 10, 14, 20, 24), (7, 9, 10, 14, 20, 24))) if "gap" in f.text]
    assert [f.text for f in parts] == ["Cord has a gap on slices 6 to 7."]
    assert parts[0].point_lps == pytest.approx(tuple(GRID.to_world((5.5, 11.5, 21.5))))


def test_islands() -> None:
    (found,) = findings(structure("Cord", (2, 6, 10, 14, 20, 24), (3, 4, 20, 21, 30, 31)))
    assert "2 separate parts" in found.text
    assert "0.012 ml" in found.text
    assert found.point_lps == pytest.approx(tuple(GRID.to_world((3, 20, 30))))


def test_edge_of_the_scan() -> None:
    (found,) = findings(structure("Cord", (0, 20, 10, 14, 0, 24)))
    assert found.severity == "info"
    assert "first slice and last slice and side of the images" in found.text
    assert findings(structure("Body", (0, 20, 0, 40, 0, 60), kind="EXTERNAL")) == []


def test_swapped_names_are_an_error() -> None:
    found = findings(structure("Parotid_R", (5, 8, 10, 15, 40, 45)), structure("Parotid_L", (5, 8, 10, 15, 15, 20)))
    assert [f.severity for f in found] == ["error", "error"]
    assert {f.structure_id for f in found} == {"Parotid_R", "Parotid_L"}


def test_a_single_one_on_the_wrong_side() -> None:
    wrong = structure("Left Parotid", (5, 8, 10, 15, 15, 20))
    assert findings(wrong) == []
    (found,) = findings(wrong, volume=body())
    assert "patient's right side" in found.text
    assert findings(structure("Left Parotid", (5, 8, 10, 15, 40, 45)), volume=body()) == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_sides_follow_the_patient_in_any_array(order: tuple[int, int, int]) -> None:
    affine = GRID.affine.copy()
    affine[:3, :3] = GRID.affine[:3, list(order)]
    grid = Grid(tuple(GRID.shape[a] for a in order), affine)
    dense = structure("x", (5, 8, 10, 15, 15, 20)).mask.dense(GRID.shape).transpose(order)
    array = body().array.transpose(order)
    item = Structure("Eye_L", (0, 0, 0), Mask.from_dense(dense), Provenance("reviewer"))
    found = run(check(StructureSet(grid, (item,)), Volume(grid, array)))
    assert any("right side" in f.text for f in found)


def test_overlap() -> None:
    a, b = structure("A", (5, 9, 10, 20, 20, 30)), structure("B", (5, 9, 10, 20, 25, 35))
    (found,) = findings(a, b)
    assert (found.severity, found.text) == ("warning", "A overlaps B by 2.4 ml.")
    slight = structure("C", (8, 12, 19, 29, 29, 39))
    assert [f.severity for f in findings(a, slight)] == ["info"]
    assert findings(a, structure("P", (5, 9, 10, 20, 25, 35), kind="PTV")) == []


@pytest.mark.parametrize("second", ["Brainstem (2)", "brain stem"])
def test_two_versions_of_one_organ_may_overlap(second: str) -> None:
    first = structure("Brainstem", (5, 9, 10, 20, 20, 30))
    assert findings(first, structure(second, (5, 9, 10, 20, 25, 35))) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Parotid_R", ("parotid", "R")),
        ("RightParotid", ("parotid", "R")),
        ("parotid left", ("parotid", "L")),
        ("Glnd_Submand_L", ("glnd submand", "L")),
        ("Niere re", ("niere", "R")),
        ("Larynx", ("larynx", None)),
        ("Liver", ("liver", None)),
        ("L", ("l", None)),
        ("Lungs_L_R", ("lungs l r", None)),
        ("PTV50", ("ptv 50", None)),
    ],
)
def test_names(name: str, expected: tuple[str, str | None]) -> None:
    assert side_of_name(name) == expected
