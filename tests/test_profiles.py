from __future__ import annotations

from pathlib import Path

import pytest

from contourdesk.app.errors import UserError
from contourdesk.app.profiles import FILE_NAME, Profile, profile, profiles

HEAD = "profile,limit,value,broken,source\n"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's own table comes between."""
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path))
    return tmp_path


def test_the_table_has_the_common_systems_and_says_where_each_value_is_from() -> None:
    known = profiles()
    assert list(known) == ["generic", "eclipse", "raystation", "pinnacle"]
    for one in known.values():
        for limit, source in one.source.items():
            assert source or limit == "title" or getattr(one, limit) is None, (one.name, limit)
    assert known["eclipse"].name_length == 16 and known["generic"].name_length == 64
    assert {p.label_length for p in known.values()} == {16}
    assert profile(" Eclipse ").title == "Varian Eclipse"


def test_a_physicists_own_lines_go_first(own_folder: Path) -> None:
    (own_folder / FILE_NAME).write_text(
        f"# ours, tried on version 17\n{HEAD}eclipse,contour_points,900,error,tried here\n"
        "monaco,title,Elekta Monaco,,\nmonaco,holes,inner loops,,tried here\n",
        "utf-8-sig",
    )
    eclipse = profile("eclipse")
    assert (eclipse.contour_points, eclipse.broken["contour_points"], eclipse.source["contour_points"]) == (
        *(900, "error", "tried here"),
    )
    assert eclipse.name_length == 16
    monaco = profile("monaco")
    assert (monaco.title, monaco.holes, monaco.name_length) == ("Elekta Monaco", "inner loops", 64)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("profile,limit\n", "first line"),
        (f"{HEAD}eclipse,colour,blue,,\n", 'no limit "colour"'),
        (f"{HEAD}eclipse,name_length,many,,\n", 'name_length can\'t be "many"'),
        (f"{HEAD}eclipse,rois,0,,\n", 'rois can\'t be "0"'),
        (f"{HEAD}eclipse,name_ascii,perhaps,,\n", "name_ascii"),
        (f"{HEAD}eclipse,holes,punched,,\n", "holes"),
        (f"{HEAD}eclipse,rois,5,bad,\n", "error or warning"),
    ],
)
def test_mistakes_in_the_table_are_named(own_folder: Path, text: str, match: str) -> None:
    (own_folder / FILE_NAME).write_text(text, "utf-8")
    with pytest.raises(UserError, match=match):
        profile("eclipse")


def test_no_such_system() -> None:
    with pytest.raises(UserError, match="no planning system") as raised:
        profile("ecplise")
    assert "eclipse" in raised.value.what_to_do


def short(names: list[str], length: int = 16) -> list[str]:
    one = profile("generic")
    values = {**vars(one), "name_length": length, "name_forbidden": "\\/"}
    return Profile(**values).fitting_names(names)


def test_names_that_fit_stay() -> None:
    names = ["Parotid_L", "Drüse", "PTV_7000", " Brainstem "]
    assert short(names) == ["Parotid_L", "Drüse", "PTV_7000", "Brainstem"]


def test_a_shortened_name_keeps_its_side() -> None:
    names = ["Nodal volume of the neck left", "Nodal volume of the neck right"]
    left, right = short(names)
    assert left.endswith("L") and right.endswith("R")
    assert max(map(len, (left, right))) <= 16
    assert short(["Left parotid gland"]) == ["Parotid_L"]  # the list knows it


def test_names_are_kept_apart() -> None:
    names = [f"A very long name of structure number {n} ring" for n in range(30)]
    got = short([*names, "A VERY LON~ ring", "a/b"])
    assert len({n.casefold() for n in got}) == 32
    assert max(map(len, got)) <= 16
    assert got[30:] == ["A VERY LON~ ring", "a_b"]
    assert (
        short(["Mandible/left side", "mandible/LEFT side"])[0] != short(["Mandible/left side", "mandible/LEFT side"])[1]
    )
    assert short(names) == short(names)
    assert len(set(short([f"x{n:03d}" for n in range(200)], 3))) == 200
