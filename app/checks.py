"""What deserves a second look before a structure is accepted. Nothing here changes anything.

Each topic has its module: shape, sides, place, limits (volume and HU), pairs. They keep still where they can't know: a
name that the tables don't have, an image that is not in HU, an organ that the scan shows a part of.
"""

from __future__ import annotations

from contourdesk.app.checks_limits import check_values, check_volume
from contourdesk.app.checks_pairs import check_imported, check_overlaps
from contourdesk.app.checks_place import Body, check_outside, check_positions, find_body
from contourdesk.app.checks_shape import check_shape
from contourdesk.app.checks_sides import check_sides
from contourdesk.app.finding import SEVERITIES, Finding
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.structures import Structure, StructureSet
from contourdesk.app.volume import Volume

__all__ = ["SEVERITIES", "Checker", "Finding", "check"]


class Checker:
    """Checks the structures of one image as often as they change; what did not change is not looked at again.

    Use in one thread at a time.
    """

    def __init__(self, volume: Volume | None = None) -> None:
        self._volume = volume
        self._body: Body | None = None
        self._body_known = False
        self._known: dict[str, tuple[tuple[object, ...], list[Finding]]] = {}  # by id: what it was like, and findings

    def check(self, structures: StructureSet) -> Job[list[Finding]]:
        """Look at every structure and pair; the gravest findings first. Without an image what needs one is left out.

        A rejected structure is not looked at: its reviewer has said what to think of it.
        """
        items = [s for s in structures if s.decision.state != "rejected"]
        total = len(items) + 3
        if not self._body_known and items:
            yield Progress(0, total, "Finding the body")
            self._body, self._body_known = find_body(self._volume), True
        found: list[Finding] = []
        for i, s in enumerate(items):
            yield Progress(i + 1, total, f"Checking {s.name}")
            found += self._remembered(s, structures)
        self._known = {s.id: self._known[s.id] for s in items}
        left = StructureSet(structures.grid, tuple(items))
        yield Progress(total - 2, total, "Comparing structures")
        found += check_sides(left, self._volume) + check_positions(left) + check_overlaps(left)
        yield Progress(total - 1, total, "Comparing with what was imported")
        found += check_imported(left)
        return sorted(found, key=lambda f: SEVERITIES.index(f.severity))

    def _remembered(self, s: Structure, structures: StructureSet) -> list[Finding]:
        like = (s.mask, s.name, s.interpreted_type)
        known = self._known.get(s.id)
        if known is None or known[0][0] is not s.mask or known[0][1:] != like[1:]:
            known = self._known[s.id] = (like, self._check_one(s, structures))
        return known[1]

    def _check_one(self, s: Structure, structures: StructureSet) -> list[Finding]:
        found = check_shape(s, structures.grid)
        if s.mask.is_empty:
            return found
        found += check_volume(s, structures.grid, self._volume)
        if self._volume is not None:
            found += check_values(s, self._volume)
        if self._body is not None:
            found += check_outside(s, self._body, structures.grid)
        return found


def check(structures: StructureSet, volume: Volume | None = None) -> Job[list[Finding]]:
    """Check once, see `Checker.check`."""
    return Checker(volume).check(structures)
