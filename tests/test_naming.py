from __future__ import annotations

import pytest

from contourdesk.app.naming import colour_for, key, known_structures, label_key, same_meaning, side, suggest, type_for

SIDED = sorted({s.name[:-2] for s in known_structures() if s.name.endswith(("_L", "_R"))})
SPELLINGS = ["{o}_{s}", "{o} {word}", "{word} {o}", "{s}_{o}", "{s} {o}", "{o}-{short}", "{short}_{o}", "{o}_{german}"]
WORDS = {
    "L": {"s": "L", "word": "left", "short": "Lt", "german": "links"},
    "R": {"s": "R", "word": "Right", "short": "RT", "german": "rechts"},
}


def test_the_list_is_whole_and_without_contradictions() -> None:
    names = [s.name for s in known_structures()]
    assert len(names) == len(set(names)) >= 60
    claimed: dict[tuple[str, str], str] = {}
    for one in known_structures():
        for name in (one.name, *one.synonyms):
            assert claimed.setdefault(key(name), one.name) == one.name, f"{name} means two things"
        assert len(one.name) <= 16, "TG-263 names have 16 characters at most"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Brainstem", "Brainstem"),
        ("SpinalCord", "SpinalCord"),
        ("RightParotid", "Parotid_R"),
        ("LeftParotid", "Parotid_L"),
        ("Esophagus", "Esophagus"),
        ("Larynx", "Larynx"),
        ("Mandible", "Bone_Mandible"),
        ("parotid right", "Parotid_R"),
        ("PAROTID_LT", "Parotid_L"),
        ("parotid_gland_left", "Parotid_L"),
        ("Parotis re", "Parotid_R"),
        ("SPINAL CORD", "SpinalCord"),
        ("spinal-cord", "SpinalCord"),
        ("R Kidney", "Kidney_R"),
        ("kidney_left", "Kidney_L"),
        ("Left Lung", "Lung_L"),
        ("Lungs", "Lungs"),
        ("BODY", "External"),
        ("Optic Nerve (L)", "OpticNrv_L"),
        ("Ösophagus", "Esophagus"),
        ("Lesion 3", None),
        ("Parotid", None),
        ("Parotid left right", None),
        ("", None),
        ("L", None),
        ("山田", None),
    ],
)
def test_suggestions(name: str, expected: str | None) -> None:
    assert suggest(name) == expected


@pytest.mark.parametrize("organ", SIDED)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_left_and_right_are_never_confused(organ: str, spelling: str) -> None:
    for letter, words in WORDS.items():
        for form in (str, str.lower, str.upper):
            name = form(spelling.format(o=organ, **words))
            assert suggest(name) in (f"{organ}_{letter}", None)
            assert side(name) == letter
        assert suggest(spelling.format(o=organ, **words)) == f"{organ}_{letter}"


def test_single_letters_inside_a_name_are_no_side() -> None:
    assert side("VB L 5") is None
    assert side("Lens") is None
    assert side("Rectum") is None
    assert side("Liver") is None
    assert side("Parotid left right") is None


def test_unknown_names_agree_on_spelling_alone() -> None:
    assert label_key("Lymph node 2 left") == label_key("lymph_node_2_L") != label_key("lymph_node_2_R")
    assert label_key("mandible") == label_key("Bone_Mandible")


def test_colours_and_types() -> None:
    assert colour_for("RightParotid") == colour_for("Parotid_R") != colour_for("Parotid_L")
    assert colour_for("Something new") == colour_for("something new ")
    assert type_for("PTV_7000") == "PTV"
    assert type_for("CTVn") == "CTV"
    assert type_for("body") == "EXTERNAL"
    assert type_for("anything") == "ORGAN"
    assert all(0 <= v <= 255 for s in known_structures() for v in s.colour)


def test_two_names_for_one_structure_are_found() -> None:
    names = ["Brainstem", "RightParotid", "Parotid_L", "parotid right"]
    assert same_meaning(names) == ("RightParotid", "parotid right")
    assert same_meaning(["Parotid_R", "Parotid_L", "Heart"]) is None
    assert same_meaning([]) is None
