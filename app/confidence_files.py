"""A model's probabilities in the review folder.

``confidence-<digest>.z`` is a zlib stream of a box of uint8 probabilities (z, y, x; 255 is 100 %). Where the box lies,
and whose it is, says ``case.json`` under ``confidence``: a list of ``{"id", "file", "sha256", "offset", "shape"}``. A
file is written once, when a save first names it, under a name made from its content, so that it is whole or not there.

A review without them opens as any other: they help to look, and hold nothing of the reviewer's work.
"""

from __future__ import annotations

import logging
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contourdesk.app.confidence import Confidence
from contourdesk.app.files import write_atomically
from contourdesk.app.jobs import Progress

log = logging.getLogger(__name__)

PATTERN = "confidence-*.z"
_NAME = re.compile(r"confidence-[0-9a-f]{16}\.z")
_MOST_VOXELS = 2**31


def write(folder: Path, kept: Mapping[str, Confidence]) -> Iterator[Progress]:
    """Write what is not there yet, one file a step. Raises OSError."""
    for number, one in enumerate(kept.values()):
        path = folder / _file(one)
        if not path.is_file():
            yield Progress(number, len(kept), "Saving the model's probabilities")
            write_atomically(path, zlib.compress(one.values.data, 1))


def to_json(kept: Mapping[str, Confidence]) -> list[dict[str, Any]]:
    """What ``case.json`` says of them."""
    return [
        {
            "id": key,
            "file": _file(one),
            "sha256": one.digest,
            "offset": one.offset,
            "shape": one.values.shape,
        }
        for key, one in kept.items()
    ]


def files_of(read: Mapping[str, Any]) -> set[str]:
    """Names of the files that a ``case.json`` needs; a part that is damaged needs none."""
    listed = read.get("confidence")
    return {str(one.get("file")) for one in _dicts(listed)}


def read(folder: Path, content: Mapping[str, Any], shape: tuple[int, int, int]) -> tuple[dict[str, Confidence], int]:
    """All that a ``case.json`` names and that is whole, by structure id; and how many are lost.

    `shape` is the image's; a box that reaches outside it is taken for damage.
    """
    out: dict[str, Confidence] = {}
    lost = 0
    for one in _dicts(content.get("confidence")):
        try:
            out[str(one["id"])] = _read_one(folder, one, shape)
        except (OSError, ValueError, KeyError, TypeError, zlib.error):
            log.warning("a file of probabilities is missing or damaged", exc_info=True)
            lost += 1
    return out, lost


def _read_one(folder: Path, one: Mapping[str, Any], grid: tuple[int, int, int]) -> Confidence:
    name = str(one["file"])
    if os.path.basename(name) != name or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no file of probabilities")
    offset, shape = _box(one["offset"], one["shape"], grid)
    count = math.prod(shape)
    data = zlib.decompressobj().decompress((folder / name).read_bytes(), count + 1)
    if len(data) != count:
        raise ValueError(f"{len(data)} bytes of probabilities in place of {count}")
    found = Confidence(offset, np.frombuffer(data, np.uint8).reshape(shape))
    if found.digest != one["sha256"]:
        raise ValueError("probabilities differ from what was saved")
    return found


_Triple = tuple[int, int, int]


def _box(offset: Any, shape: Any, grid: _Triple) -> tuple[_Triple, _Triple]:
    first, size = _triple(offset), _triple(shape)
    inside = all(o >= 0 and n >= 0 and o + n <= whole for o, n, whole in zip(first, size, grid, strict=True))
    if (math.prod(size) and not inside) or math.prod(size) > _MOST_VOXELS:
        raise ValueError(f"box at {first} of {size} does not fit")
    return first, size


def _triple(read: Any) -> _Triple:
    z, y, x = (int(n) for n in read)
    return z, y, x


def _dicts(listed: Any) -> Iterable[dict[str, Any]]:
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _file(one: Confidence) -> str:
    return f"confidence-{one.digest[:16]}.z"
