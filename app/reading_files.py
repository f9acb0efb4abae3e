"""Former readings in the review folder: masks in ``reading-*.npz``, all else in ``case.json``.

A file is written once and never changed or removed: it is what another person stands for.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contourdesk.app.files import write_atomically
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.readings import Reading
from contourdesk.app.review_format import Arrays, structure_arrays, structure_from_save, structure_to_json
from contourdesk.app.structures import StructureSet

log = logging.getLogger(__name__)

KEY = "readings"


def write(folder: Path, readings: Sequence[Reading]) -> Job[list[dict[str, Any]]]:
    """Write what is not there yet; returns what ``case.json`` shall hold of the readings, in their order.

    Raises
    ------
    OSError : it can't be written.
    """
    out = []
    known = _known(folder) if readings else {}
    for i, reading in enumerate(readings):
        yield Progress(i, len(readings), "Saving the readings")
        before = known.get((reading.person, reading.time))
        if before is not None and (folder / str(before["file"])).is_file():
            out.append(before)
            continue
        arrays: Arrays = {}
        for k, s in enumerate(reading.structures):
            arrays.update(structure_arrays(k, s))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
        name = f"reading-{digest[:16]}.npz"
        if not (folder / name).is_file():
            write_atomically(folder / name, buffer.getvalue())
        items = [structure_to_json(s) for s in reading.structures]
        out.append(
            {"person": reading.person, "time": reading.time, "file": name, "sha256": digest, "structures": items}
        )
    return out


def _known(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What the last save says of the readings that it has: they need not be packed again."""
    try:
        content = json.loads((folder / "case.json").read_text("utf-8"))
        return {(r["person"], r["time"]): r for r in content.get(KEY, ()) if "file" in r}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def read(folder: Path, content: dict[str, Any], grid: Grid) -> tuple[tuple[Reading, ...], int]:
    """The readings that ``case.json`` names, and how many of them are missing or damaged."""
    out, lost = [], 0
    for one in content.get(KEY, ()):
        try:
            name = str(one["file"])
            if Path(name).name != name:
                raise ValueError(f"{name!r} is not in the folder")
            data = (folder / name).read_bytes()
            if hashlib.sha256(data).hexdigest() != one["sha256"]:
                raise ValueError("a reading differs from what was saved")
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                items = tuple(structure_from_save(k, s, arrays) for k, s in enumerate(one["structures"]))
            out.append(Reading(str(one["person"]), str(one["time"]), StructureSet(grid, items)))
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("a reading can't be read", exc_info=True)
            lost += 1
    return tuple(out), lost
