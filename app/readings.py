"""Readings: what each reader made of the same structures, and where two of them differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from contourdesk.app.figures import Figures, figures
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.naming import label_key
from contourdesk.app.structures import Structure, StructureSet


@dataclass(frozen=True, eq=False)
class Reading:
    """The structures with their decisions as a reader left them; `time` is when the next reader began, ISO 8601."""

    person: str
    time: str
    structures: StructureSet


@dataclass(frozen=True, eq=False)
class Difference:
    """One structure in two readings; None where a reader doesn't have it. `figures` lead from the first to the second.

    Without a contour in one of them there are no figures.
    """

    name: str
    first: Structure | None
    second: Structure | None
    figures: Figures | None

    @property
    def both_decided(self) -> bool:
        """Whether both readers decided on it."""
        return all(s is not None and s.decision.state != "unreviewed" for s in (self.first, self.second))

    @property
    def agreed(self) -> bool:
        """Whether both decided, and alike: both accepted it (with an edit or without), or both rejected it."""
        if self.first is None or self.second is None or not self.both_decided:
            return False
        return self.first.decision.accepted == self.second.decision.accepted


def reader_of(structures: StructureSet, reviewer: str) -> str:
    """Who decided on most of the structures; `reviewer` when nobody is named."""
    people = Counter(s.decision.person for s in structures if s.decision.state != "unreviewed" and s.decision.person)
    return people.most_common(1)[0][0] if people else reviewer


def differences(first: StructureSet, second: StructureSet) -> Job[tuple[Difference, ...]]:
    """Every structure of either reading; matched by what they are, whatever their names are spelled like."""
    pairs = _pairs(first, second)
    out = []
    for i, (a, b) in enumerate(pairs):
        name = (b or a).name  # type: ignore[union-attr]
        yield Progress(i, len(pairs), f"Comparing {name}")
        drawn = a is not None and b is not None and not (a.mask.is_empty and b.mask.is_empty)
        found = figures(a.mask, b.mask, second.grid) if drawn else None  # type: ignore[union-attr]
        out.append(Difference(name, a, b, found))
    return tuple(out)


def _pairs(first: StructureSet, second: StructureSet) -> list[tuple[Structure | None, Structure | None]]:
    left = list(first)
    out: list[tuple[Structure | None, Structure | None]] = []
    for b in second:
        a = next((s for s in left if s.id == b.id), None)
        a = a or next((s for s in left if label_key(s.name) == label_key(b.name)), None)
        if a is not None:
            left.remove(a)
        out.append((a, b))
    return out + [(a, None) for a in left]


def agreement(found: Sequence[Difference], first: str, second: str) -> str:
    """A statement on how far two readers agree, in a few sentences."""
    first, second = first or "The first reader", second or "the second reader"
    both = [d for d in found if d.both_decided]
    alike = sum(d.agreed for d in both)
    parts = [f"{first} and {second} both decided on {len(both)} of {len(found)} structures, and alike on {alike}."]
    apart = [d.name for d in both if not d.agreed]
    if apart:
        parts.append(f"They differ on {_listed(apart)}.")
    drawn = [(d.name, d.figures) for d in found if d.figures is not None]
    if drawn:
        same = sum(f.unchanged for _, f in drawn)
        lowest = min(drawn, key=lambda pair: pair[1].dice)
        mean = sum(f.dice for _, f in drawn) / len(drawn)
        text = f"Of {len(drawn)} contours that both have, {same} are the same voxel for voxel; mean Dice {mean:.3f}"
        parts.append(text + (f", lowest {lowest[1].dice:.3f} ({lowest[0]})." if same < len(drawn) else "."))
        far = [pair for pair in drawn if math.isfinite(pair[1].hd95_mm)]
        if far and same < len(drawn):
            name, most = max(far, key=lambda pair: pair[1].hd95_mm)
            parts.append(f"The largest HD95 is {most.hd95_mm:.1f} mm ({name}).")
    missing = [d.name for d in found if d.first is None or d.second is None]
    if missing:
        parts.append(f"Only one of them has {_listed(missing)}.")
    return " ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
