"""Which case next: the one whose review would teach the model most, by a rule that can be told.

The rule. The model says of each voxel how likely it belongs to an organ. For each proposal that nobody has decided on,
`unsure_of` is the uncertainty of its voxels together (entropy in bits, see `confidence.UNCERTAINTY`) divided by the
number of voxels that more likely belong to it than not, and at most `MOST_BITS`; that much it counts when the model
proposes nothing with a probability of one half. Small organs have more edge for their size, so these numbers are not
compared with each other: each is divided by the median over the cases on the list of the same organ. A case's score is
the mean over its organs. One is usual; two says that the model is twice as unsure of this patient as of most.

What it can't see: an organ that the model has missed altogether, and where it is wrong and sure.
"""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from contourdesk.app.confidence import UNCERTAINTY, Confidence
from contourdesk.app.confidence_files import read
from contourdesk.app.naming import suggest
from contourdesk.app.reviews import CASE

log = logging.getLogger(__name__)

MOST_BITS = 2.0
_LIKELY = 128  # of a `Confidence`: belongs to it more likely than not
_LEAST_USUAL = 0.02  # bits; an organ that the model is all but sure of everywhere would count without bounds

Key = TypeVar("Key", bound=Hashable)


def unsure_of(confidence: Confidence) -> float:
    """How unsure the model is of one proposal: bits for each voxel of it, 0 to `MOST_BITS`."""
    bits = float(UNCERTAINTY[confidence.values].sum())
    size = int(np.count_nonzero(confidence.values >= _LIKELY))
    if not size:
        return MOST_BITS if confidence.values.any() else 0.0
    return min(MOST_BITS, bits / size)


def unsure_in(folder: Path) -> dict[str, float]:
    """`unsure_of` each proposal of a review that nobody has decided on, by what its name means; empty without any.

    Files that are missing or damaged are left out, as a review opens without them too. Raises OSError, ValueError,
    KeyError, TypeError when ``case.json`` can't be read.
    """
    content: dict[str, Any] = json.loads((folder / CASE).read_text("utf-8"))
    if not content.get("confidence"):
        return {}
    undecided = {
        str(s["id"]): suggest(str(s["header"]["name"])) or str(s["header"]["name"]).casefold()
        for s in content["structures"]
        if s["header"]["decision"]["state"] == "unreviewed"
    }
    z, y, x = (int(n) for n in content["grid"]["shape"])
    wanted = [one for one in content["confidence"] if isinstance(one, dict) and one.get("id") in undecided]
    found, _ = read(folder, {"confidence": wanted}, (z, y, x))
    return {undecided[key]: unsure_of(one) for key, one in found.items()}


def scores(unsure: Mapping[Key, Mapping[str, float]]) -> dict[Key, float]:
    """The score of each case that has an undecided proposal, from `unsure_in` of all cases on the list."""
    usual = {organ: max(_LEAST_USUAL, value) for organ, value in _medians(unsure.values()).items()}
    return {
        key: statistics.fmean(value / usual[organ] for organ, value in organs.items())
        for key, organs in unsure.items()
        if organs
    }


def _medians(cases: Iterable[Mapping[str, float]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for case in cases:
        for organ, value in case.items():
            values.setdefault(organ, []).append(value)
    return {organ: statistics.median(found) for organ, found in values.items()}
