"""How long a reviewer was at work on each structure."""

from __future__ import annotations

from collections.abc import Mapping

PAUSE_S = 60.0


class ActiveTime:
    """Seconds by structure id.

    Time counts from one sign of life (a key, a click, the wheel, a move of the mouse) to the next, for the structure
    that was active at the first of them; a pause of more than 60 s doesn't count at all.
    """

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self._seconds = dict(seconds or {})
        self._last: tuple[str | None, float] | None = None

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds so far; a copy."""
        return dict(self._seconds)

    def note(self, structure_id: str | None, at_s: float) -> None:
        """Note a sign of life at `at_s` (a monotonic clock), with this structure active from now on."""
        if self._last is not None:
            before, since = self._last
            if before is not None and 0 < at_s - since <= PAUSE_S:
                self._seconds[before] = self._seconds.get(before, 0.0) + at_s - since
        self._last = (structure_id, at_s)
