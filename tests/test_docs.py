"""The documents: every test, page and picture that they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_every_proof_in_the_table_of_formats_exists() -> None:
    proofs = 0
    for line in (ROOT / "docs" / "formats.md").read_text("utf-8").splitlines():
        file = ""
        for name in re.findall(r"`(test_\w+(?:::test_\w+)?|::test_\w+)`", line):
            first, _, function = name.partition("::")
            file = first or file
            source = (ROOT / "tests" / f"{file}.py").read_text("utf-8")
            assert not function or f"def {function}(" in source, name
            proofs += 1
    assert proofs > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), target
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        titles = {
            re.sub(r"[^\w -]", "", t).strip().lower().replace(" ", "-") for t in re.findall(r"^#+ (.+)$", text, re.M)
        }
        assert anchor in titles, anchor
