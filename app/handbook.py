"""The documentation as it comes with the program: pages by reader, their sections, and a search through them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it. `anchor` is the part of a link after "#"."""

    page: str
    title: str
    anchor: str
    text: str


def handbook_root() -> Path:
    """The folder that ``docs`` lies in: in the installed package, or this program's source tree."""
    shipped = _PACKAGE / "help"
    return shipped if shipped.is_dir() else Path(__file__).resolve().parents[1]


def contents() -> list[tuple[str, list[str]]]:
    """Pages (paths below `handbook_root`) under the reader that they are for; those that are there."""
    root = handbook_root()
    read = json.loads((root / "docs" / "contents.json").read_text("utf-8"))
    return [(group["title"], [page for page in group["pages"] if (root / page).is_file()]) for group in read]


@cache
def sections(page: str) -> tuple[Section, ...]:
    """A page in parts, each from one heading to the next."""
    found: list[Section] = []
    title, lines = "", list[str]()
    for line, heading in [*_lines((handbook_root() / page).read_text("utf-8")), ("", "end")]:
        if not heading:
            lines.append(line)
            continue
        if title:
            found.append(Section(page, title, slug(title), "\n".join(lines)))
        title, lines = heading, []
    return tuple(found)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Lines, each with the heading that it is, or ""; what looks like one in a block of code is none."""
    in_code = False
    for line in text.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        found = re.match(r"#{1,6} (.+)", line)
        yield line, found[1] if found and not in_code else ""


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")


def search(words: str) -> list[Section]:
    """Sections that hold all the words; those with them in the heading first."""
    wanted = words.casefold().split()
    if not wanted:
        return []
    pages = [page for _, group in contents() for page in group]
    hits = [s for page in pages for s in sections(page) if all(w in f"{s.title}\n{s.text}".casefold() for w in wanted)]
    return sorted(hits, key=lambda s: not all(w in s.title.casefold() for w in wanted))
