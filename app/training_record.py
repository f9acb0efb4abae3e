"""Which cases a model was trained on, as far as its folder says so."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FILES = ("training.json", "manifest.json")  # the first by `contourdesk train`


def training_cases(folder: Path) -> frozenset[str] | None:
    """Names of the cases that the model in `folder` learnt from, None when nothing tells them.

    ``training.json`` or ``manifest.json`` in the folder tells them under "cases": names, or objects with a "name".
    Cases of a model that training started from are under "earlier_cases".
    """
    found: set[str] = set()
    told = False
    for name in FILES:
        read = _read(folder / name)
        for key in ("cases", "earlier_cases"):
            if key in read:
                told = True
                found.update(_names(read[key]))
    return frozenset(found) if told else None


def _read(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        log.warning("%s can't be read", path.name)
        return {}
    return read if isinstance(read, dict) else {}


def _names(cases: Any) -> Iterable[str]:
    if isinstance(cases, dict):
        yield from map(str, cases)
    elif isinstance(cases, list):
        for one in cases:
            yield str(one.get("name", "")) if isinstance(one, dict) else str(one)
