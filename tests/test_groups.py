"""Headings of the list of structures."""

from __future__ import annotations

import pytest

from contourdesk.app.groups import ORGANS, OTHER, TARGETS, group_of, grouped
from contourdesk.app.structures import Mask, Provenance, Structure


def make(name, kind="ORGAN", group=""):
    return Structure(name, (1, 2, 3), Mask(), Provenance("imported"), interpreted_type=kind, group=group)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("Brainstem", "ORGAN", ORGANS),
        ("PTV_7000", "PTV", TARGETS),
        ("PTV_7000", "ORGAN", TARGETS),  # written so by some systems
        ("GTVn", "", TARGETS),
        ("Ring", "AVOIDANCE", ORGANS),
        ("BODY", "EXTERNAL", OTHER),
        ("Couch", "SUPPORT", OTHER),
        ("Cord", "organ", ORGANS),
    ],
)
def test_the_group_goes_by_type_and_name(name, kind, expected):
    assert group_of(make(name, kind)) == expected


def test_own_groups_come_first_and_order_stays_within_a_group():
    items = [make("Cord"), make("PTV", "PTV"), make("Lens_L", group="eyes"), make("BODY", "EXTERNAL"), make("Larynx"),
             make("Lens_R", group="eyes"), make("A", group="Boost")]  # fmt: skip
    assert grouped(items) == [("Boost", [6]), ("eyes", [2, 5]), (TARGETS, [1]), (ORGANS, [0, 4]), (OTHER, [3])]
