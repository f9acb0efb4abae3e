"""The documents: every test, page, heading and picture that they name is there, and the tables are the program's."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from window_steps import open_window

from contourdesk.app.handbook import contents, handbook_root, search, sections
from contourdesk.app.operations import OPERATIONS
from contourdesk.widgets.commands import MOUSE
from contourdesk.widgets.tools import TOOLS
from contourdesk.widgets.tools_measure import MEASURING

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")


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
def test_links_headings_and_pictures_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        if anchor:
            assert anchor in {s.anchor for s in sections(str(file.relative_to(ROOT)))}, f"{target}#{anchor}"


def test_contents_hold_every_page_once_and_the_first_page_leads_to_each() -> None:
    assert handbook_root() == ROOT
    listed = [page for _, pages in contents() for page in pages]
    assert sorted(listed) == sorted(
        ["CHANGELOG.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in PAGES if p.parent != ROOT)]
    )
    first = (ROOT / "docs" / "index.md").read_text("utf-8")
    led_to = {(ROOT / "docs" / target).resolve() for target, _ in LINK.findall(first)}
    assert {ROOT / page for page in listed} - led_to == {ROOT / "docs" / "index.md"}


def test_search_finds_headings_first() -> None:
    hits = search("audit trail")
    assert hits[0].title == "The audit trail" and hits[0].page == "docs/review-folder.md"
    assert len(hits) > 2 and search("no such words anywhere") == [] and search("  ") == []


def test_each_tool_and_operation_has_its_sentence() -> None:
    page = (ROOT / "docs" / "tools.md").read_text("utf-8").partition("## Every command")[0]
    rows = {cells[0].strip(): cells for line in page.splitlines() if len(cells := line.strip("| ").split("|")) == 3}
    for tool in TOOLS:
        assert rows[tool.text][1].strip() == tool.shortcut and len(rows[tool.text][2]) > 15, tool.text
    lines = page.casefold()
    for operation in OPERATIONS:
        words = re.findall(r"[a-z]{4,}", operation.text.casefold())
        assert all(word in lines for word in words), operation.text
    guide = (ROOT / "docs" / "guide.md").read_text("utf-8")
    assert all(f"({tool.shortcut})" in guide for tool in MEASURING)


def test_table_of_commands_is_the_programs(qtbot, monkeypatch, tmp_path) -> None:
    spec = importlib.util.spec_from_file_location("key_tables", ROOT / "packaging" / "key_tables.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    window = open_window(qtbot, monkeypatch, tmp_path)
    page = script.PAGE.read_text("utf-8")
    assert script.with_tables(page, script.tables(window.actions_list, MOUSE)) == page, "run packaging/key_tables.py"
    window.close()
