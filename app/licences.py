"""The licences of everything that the program needs, as their own packages state them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from contourdesk.app.jobs import Job, Progress

_FILE = re.compile(r"(licen[cs]e|copying|notice)[^/]*$", re.IGNORECASE)


@dataclass(frozen=True)
class Licence:
    """A package, its version, the licence in a word or two, and the texts that came with it."""

    package: str
    version: str
    licence: str
    text: str


def licences(of: str = "contourdesk") -> Job[list[Licence]]:
    """The licences of `of` and of all that it requires and is installed, by name, `of` itself first."""
    found: dict[str, Licence] = {}
    waiting = [of]
    while waiting:
        name = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        yield Progress(len(found), 0)
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # for another system, or an extra that is not installed
        found[key] = Licence(package.metadata["Name"], package.version, _short(package), _texts(package))
        waiting += [_name(line) for line in package.requires or [] if "extra ==" not in line]
    first, *others = found.values()
    return [first, *sorted(others, key=lambda one: one.package.casefold())]


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    return found[0] if found else ""


def _short(package: Distribution) -> str:
    """SPDX expression, else the classifier's words, else the first line of the field "License"."""
    meta = package.metadata
    if "License-Expression" in meta:
        return str(meta["License-Expression"])
    classifiers = [str(c) for c in meta.get_all("Classifier") or [] if str(c).startswith("License ::")]
    if classifiers:
        return ", ".join(c.split(" :: ")[-1] for c in classifiers)
    lines = str(meta.json.get("license", "")).strip().splitlines()
    return lines[0][:80] if lines else "see its text"


def _texts(package: Distribution) -> str:
    paths = [Path(str(package.locate_file(file))) for file in package.files or [] if _FILE.search(str(file))]
    texts = [
        path.read_text("utf-8", errors="replace").strip()
        for path in paths
        if path.suffix in ("", ".txt", ".md", ".rst")
    ]
    return "\n\n".join(dict.fromkeys(texts))
