"""Check the licences of all that the program installs, and write the tables of docs/licences.md.

    python packaging/licences.py            check: 1 when a licence is neither permissive nor in the list of exceptions
    python packaging/licences.py --write    the same, and write the tables

What the packages say of themselves is read by `contourdesk.app.licences`, which the about box shows too.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from contourdesk.app.jobs import run
from contourdesk.app.licences import Licence, licences

PAGE = Path(__file__).resolve().parents[1] / "docs" / "licences.md"
# Words that licences are called by; each part of an expression must have one of them.
PERMISSIVE = re.compile(
    r"apache|\b0?bsd|\bmit\b|\bisc|\bpsf|python[ -]|zlib|unlicense|cc0|\bbsl-1\.0|hpnd|cmu|public domain|\bzpl",
    re.IGNORECASE,
)
# Copyleft of a kind that lets a program use them as they are; each with the reason why it may come along.
EXCEPTIONS = {
    "pyside6": "LGPL-3.0: Qt for Python, used unchanged, as libraries of its own that a user may exchange",
    "pyside6-addons": "LGPL-3.0: as PySide6",
    "pyside6-essentials": "LGPL-3.0: as PySide6",
    "shiboken6": "LGPL-3.0: as PySide6",
    "certifi": "MPL-2.0: a list of certificates, used unchanged; nothing of Contourdesk goes to the network",
    "tqdm": "MPL-2.0 AND MIT: used unchanged",
    "pathspec": "MPL-2.0: used unchanged",
    "hypothesis": "MPL-2.0: for tests only",
}
_PARTS = re.compile(r"\s+(?:AND|OR)\s+|[(),;]", re.IGNORECASE)
_TABLE = re.compile(r"(<!-- (exceptions|all) -->\n).*?(?=\n<!-- end -->)", re.DOTALL)


def key(package: str) -> str:
    """The name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def is_permissive(licence: str) -> bool:
    """Whether each licence of an expression is; of alternatives joined by OR one is enough."""
    if "LicenseRef" not in licence and " OR " in licence and " AND " not in licence:
        return any(is_permissive(part) for part in licence.replace("(", "").replace(")", "").split(" OR "))
    parts = [part for part in _PARTS.split(licence.replace("(ISCL)", "")) if part.strip()]
    return bool(parts) and all(PERMISSIVE.search(part) for part in parts)


def by_text(one: Licence) -> str:
    """The licence in a word, from its text where the package doesn't name it."""
    if is_permissive(one.licence):
        return one.licence
    for name, words in (
        ("MIT", "Permission is hereby granted, free of charge"),
        ("BSD", "Redistribution and use in source and binary forms"),
        ("Apache-2.0", "Apache License"),
    ):
        if words in re.sub(r"\s+", " ", one.text) and "GENERAL PUBLIC LICENSE" not in one.text:
            return name
    return one.licence


def page(text: str, found: list[Licence]) -> str:
    """The page with fresh tables. Versions are left out: they stand in packaging/constraints.txt."""
    others = [one for one in found if key(one.package) in EXCEPTIONS]
    rows = {
        "exceptions": [f"| {one.package} | {EXCEPTIONS[key(one.package)].replace(': ', ' | ')} |" for one in others],
        "all": [f"| {one.package} | {by_text(one)} |" for one in found[1:]],
    }
    heads = {"exceptions": "| package | licence | why it may come along |\n| --- | --- | --- |\n"}
    head = "| package | licence |\n| --- | --- |\n"
    return _TABLE.sub(lambda part: part[1] + heads.get(part[2], head) + "\n".join(rows[part[2]]), text)


def main() -> int:
    """Say which licences are not allowed."""
    found = run(licences())
    # NVIDIA's packages come with PyTorch's builds for CUDA, on whose terms the user decides.
    found = [one for one in found if not key(one.package).startswith(("nvidia-", "cuda-"))]
    bad = [one for one in found if key(one.package) not in EXCEPTIONS and not is_permissive(by_text(one))]
    for one in bad:
        print(f"{one.package} {one.version}: {one.licence!r} is not permissive and not in the list of exceptions.")
    if "--write" in sys.argv[1:] and not bad:
        PAGE.write_text(page(PAGE.read_text("utf-8"), found), "utf-8")
    print(f"{len(found)} packages, {len(bad)} with a licence that is not allowed.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
