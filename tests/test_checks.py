"""Each check finds its fault, says where, and is silent on a sound structure."""

import csv
import re
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from contourdesk.app.checks import Finding, check
from contourdesk.app.checks_limits import limits_of
from contourdesk.app.checks_place import _relations
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.naming import known_structures
from contourdesk.app.structures import Decision, Mask, Provenance, Structure, StructureSet
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
            structure("Cochlea_L", (5, 8, 10, 15, 40, 45)),
            structure("Cochlea_R", (5, 8, 10, 15, 15, 20)),
            volume=body(),
        )
        == []
    )


def test_empty() -> None:
    (found,) = findings(structure("Thing"))
    assert (found.severity, found.text, found.point_lps) == ("warning", "Thing is empty.", None)


def test_gap() -> None:
    parts = [f for f in findings(structure("Thing", (2, 5, 10, 14, 20, 24), (7, 9, 10, 14, 20, 24))) if "gap" in f.text]
    assert [f.text for f in parts] == ["Thing has a gap on slices 6 to 7."]
    assert parts[0].point_lps == pytest.approx(tuple(GRID.to_world((5.5, 11.5, 21.5))))


def test_islands() -> None:
    (found,) = findings(structure("Thing", (2, 6, 10, 14, 20, 24), (3, 4, 20, 21, 30, 31)))
    assert "2 separate parts" in found.text
    assert "0.012 ml" in found.text
    assert found.point_lps == pytest.approx(tuple(GRID.to_world((3, 20, 30))))


def test_edge_of_the_scan() -> None:
    (found,) = findings(structure("Thing", (0, 20, 10, 14, 0, 24)))
    assert found.severity == "info"
    assert "first slice and last slice and side of the images" in found.text
    assert findings(structure("Body", (0, 20, 0, 40, 0, 60), kind="EXTERNAL")) == []


def test_swapped_names_are_an_error() -> None:
    found = findings(structure("Cochlea_R", (5, 8, 10, 15, 40, 45)), structure("Cochlea_L", (5, 8, 10, 15, 15, 20)))
    assert [f.severity for f in found] == ["error", "error"]
    assert {f.structure_id for f in found} == {"Cochlea_R", "Cochlea_L"}


def test_a_single_one_on_the_wrong_side() -> None:
    wrong = structure("Left Cochlea", (5, 8, 10, 15, 15, 20))
    assert findings(wrong) == []
    (found,) = findings(wrong, volume=body())
    assert "patient's right side" in found.text
    assert findings(structure("Left Cochlea", (5, 8, 10, 15, 40, 45)), volume=body()) == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_sides_follow_the_patient_in_any_array(order: tuple[int, int, int]) -> None:
    affine = GRID.affine.copy()
    affine[:3, :3] = GRID.affine[:3, list(order)]
    grid = Grid(tuple(GRID.shape[a] for a in order), affine)
    dense = structure("x", (5, 8, 10, 15, 15, 20)).mask.dense(GRID.shape).transpose(order)
    array = body().array.transpose(order)
    item = Structure("Cochlea_L", (0, 0, 0), Mask.from_dense(dense), Provenance("reviewer"))
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
    first = structure("Brainstem", (5, 15, 10, 20, 20, 30))
    assert "overlap" not in kinds(first, structure(second, (5, 9, 10, 20, 25, 35)))


# -- holes, ends, values, places -------------------------------------------------------------------------------------


def kinds(*items: Structure, volume: Volume | None = None) -> list[str]:
    return [f.kind for f in findings(*items, volume=volume)]


def test_hole_on_a_slice() -> None:
    bits = structure("Thing", (5, 8, 10, 20, 20, 30)).mask.dense(GRID.shape)
    bits[6, 14:16, 24:26] = False
    (found,) = findings(Structure("Thing", (0, 0, 0), Mask.from_dense(bits), Provenance("reviewer")))
    assert (found.kind, found.text) == ("hole", "Thing has holes of 0.048 ml on slice 7.")
    assert found.point_lps in [tuple(GRID.to_world((6, r, c))) for r in (14, 15) for c in (24, 25)]


def ellipsoid(name: str, radius_mm: tuple[float, float, float], at=(10, 20, 40), **cut: int) -> Structure:
    z, y, x = np.indices(GRID.shape)
    inside = sum(((i - c) * s / r) ** 2 for i, c, s, r in zip((z, y, x), at, GRID.spacing_mm, radius_mm, strict=True))
    bits = inside <= 1
    if "below" in cut:
        bits[: cut["below"]] = False
    return Structure(name, (0, 0, 0), Mask.from_dense(bits), Provenance("model"), id=name)


def test_an_organ_that_just_stops_is_cut_off() -> None:
    whole, cut = ellipsoid("Parotid_L", (24, 14, 12)), ellipsoid("Parotid_L", (24, 14, 12), below=9)
    assert kinds(whole) == []
    (found,) = findings(cut)
    assert (found.kind, found.severity) == ("truncated", "warning")
    assert "begins abruptly on slice 10" in found.text
    assert found.point_lps == pytest.approx(tuple(GRID.to_world((9, 20, 40))))
    assert kinds(ellipsoid("Thing", (24, 14, 12), below=9)) == []  # nothing is known of things


def test_impossible_volume() -> None:
    (found,) = findings(ellipsoid("Parotid_L", (12, 8, 8)))
    assert found.text == "Parotid_L has 3.08 ml; from 7 to 70 ml would be usual."
    assert kinds(ellipsoid("Parotid_L", (26, 34, 26), at=(10, 20, 30))) == ["volume"]
    at_the_edge = ellipsoid("Parotid_L", (12, 8, 8), at=(2, 20, 40))
    assert kinds(at_the_edge) == ["edge"]  # the scan may show a part only


def test_values_that_do_not_fit() -> None:
    array = body().array.copy()
    parotid = ellipsoid("Parotid_L", (24, 14, 12))
    assert kinds(parotid, volume=Volume(GRID, array)) == []
    array[:, 20:] = 900
    (found,) = findings(parotid, volume=Volume(GRID, array))
    assert (found.kind, found.severity) == ("value", "warning")
    assert "bone" in found.text
    z, y, x = np.rint(GRID.to_index(found.point_lps)).astype(int)
    assert array[z, y, x] == 900
    assert parotid.mask.dense(GRID.shape)[z, y, x]
    assert kinds(ellipsoid("Lung_L", (24, 30, 20)), volume=body()) == ["volume", "value"]
    assert kinds(parotid, volume=Volume(GRID, array, unit="")) == []


def test_outside_the_body() -> None:
    item = structure("Thing", (5, 12, 1, 12, 30, 40))  # the body begins at row 5
    (found,) = findings(item, volume=body())
    assert (found.kind, found.severity) == ("outside", "warning")
    assert found.point_lps is not None
    assert GRID.to_index(found.point_lps)[1] < 5
    (found,) = findings(structure("Thing", (5, 12, 1, 4, 30, 40)), volume=body())
    assert (found.kind, found.severity) == ("outside", "error")
    assert "100 %" in found.text
    assert kinds(structure("Thing", (5, 12, 4, 12, 30, 40)), volume=body()) == []  # on the skin


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_an_organ_where_it_can_not_be(order: tuple[int, int, int]) -> None:
    affine = GRID.affine.copy()
    affine[:3, :3] = GRID.affine[:3, list(order)]
    grid = Grid(tuple(GRID.shape[a] for a in order), affine)

    def at(name: str, *box: int) -> Structure:
        dense = structure("x", box).mask.dense(GRID.shape).transpose(order)
        return Structure(name, (0, 0, 0), Mask.from_dense(dense), Provenance("model"), id=name)

    def check_all(*items: Structure) -> list[Finding]:
        found = run(check(StructureSet(grid, items)))
        return [f for f in found if f.kind == "position"]

    cord, larynx = at("SpinalCord", 1, 14, 30, 34, 28, 32), at("Larynx", 4, 9, 12, 20, 24, 36)
    brainstem = at("Brainstem", 15, 19, 26, 34, 25, 35)
    assert check_all(cord, larynx) == []
    (found,) = check_all(cord, at("Larynx", 4, 9, 33, 39, 24, 36))
    assert found.severity == "warning"
    # Two say that the brainstem is wrong, and only it is told.
    (found,) = check_all(cord, larynx, at("Brainstem", 1, 4, 26, 34, 25, 35))
    assert (found.structure_id, found.severity) == ("Brainstem", "error")
    assert check_all(cord, brainstem) == []


def test_organs_that_hold_each_other_may_overlap() -> None:
    brain, stem = structure("Brain", (2, 18, 5, 35, 10, 50)), structure("Brainstem", (5, 15, 15, 25, 25, 35))
    assert "overlap" not in kinds(brain, stem)
    assert "overlap" in kinds(structure("Larynx", (5, 15, 15, 25, 25, 35)), stem)


def test_differs_from_the_imported_one() -> None:
    imported = ellipsoid("Brainstem", (20, 14, 14))
    imported = Structure("Brainstem", (0, 0, 0), imported.mask, Provenance("imported"), id="imported")
    assert kinds(imported, ellipsoid("Brainstem (2)", (20, 14, 12))) == []
    (found,) = findings(imported, ellipsoid("Brainstem (2)", (20, 14, 14), at=(12, 20, 45)))
    assert (found.structure_id, found.kind) == ("Brainstem (2)", "imported")
    assert "Dice 0.44, HD95 10.0 mm" in found.text
    assert kinds(ellipsoid("Brainstem", (20, 14, 14)), ellipsoid("Brainstem (2)", (20, 14, 14), at=(12, 20, 45))) == []


def test_a_rejected_structure_is_left_alone() -> None:
    item = replace(structure("Thing"), decision=Decision("rejected"))
    assert findings(item) == []


def test_the_tables_name_organs_that_are_known() -> None:
    names = {re.sub("_[LR]$", "", k.name) for k in known_structures()}
    for organ, relation, other, _ in _relations():
        assert {organ, other} <= names, (organ, relation, other)
    limits = limits_of("right parotid (2)")
    assert limits is not None
    assert limits.name == "Parotid"
    text = (resources.files("contourdesk.resources") / "organ_overlaps.csv").read_text("utf-8")
    assert {name for line in text.splitlines()[1:] for name in line.split(",")} <= names
    text = (resources.files("contourdesk.resources") / "organ_limits.csv").read_text("utf-8")
    for row in csv.DictReader(text.splitlines()):
        assert row["name"] in names
        assert row["source"]
