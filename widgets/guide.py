"""Leads the reviewer from one slice that is worth a look to the next (the rule is `app.attention`'s)."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QObject, Signal

from contourdesk.app.attention import Spot, attention, listed, next_spot
from contourdesk.app.finding import Finding
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr


class Guide(QObject):
    """`wanted` carries a `Spot` to show, `said` a text for the status bar; the scores are made in a worker."""

    wanted = Signal(object)
    said = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session: ReviewSession | None = None
        self._scored: dict[str, tuple[Mask, tuple[Spot, ...]]] = {}
        self._findings: tuple[Finding, ...] = ()
        self._revision = self._asked = -1
        self._visited: dict[tuple[str, int], None] = {}
        self._trail: list[Spot] = []
        self._at = -1  # where in the trail the reviewer is
        self._waiting = False
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_scored)
        self.runner.failed.connect(self._on_failed)

    def set_session(self, session: ReviewSession | None) -> None:
        """Lead through another session."""
        self.runner.cancel()
        self._session = session
        self._scored, self._findings, self._revision = {}, (), -1
        self._visited, self._trail, self._at, self._waiting = {}, [], -1, False

    def set_findings(self, found: Sequence[Finding] | None) -> None:
        """Take what the checks found into account, and be ready for the next question."""
        self._findings = tuple(found or ())
        self._score()

    def next(self) -> None:
        """Go to the next slice that is worth a look, as soon as it is known."""
        if self._session is None:
            return
        if self._revision != self._session.revision:
            self._waiting = True
            self.said.emit(tr("Looking for slices that are worth a look…"))
            self._score()
            return
        self._go()

    def previous(self) -> None:
        """Go back to where `next` led before."""
        if self._at <= 0:
            self.said.emit(
                tr("This was the first slice that you were led to.") if self._trail else tr("Go to the next first.")
            )
            return
        self._at -= 1
        self._show(self._trail[self._at])

    def _score(self) -> None:
        if self._session is None or self.runner.running or self._revision == self._session.revision:
            return
        self._asked = self._session.revision
        snapshot = self._session.snapshot()
        hidden = {s.id for s in snapshot.structures if s.blind == "hidden"}  # where the model was unsure would show it
        known = {key: value for key, value in snapshot.confidence.items() if key not in hidden}
        self.runner.start(attention(snapshot.structures, known, self._scored), harmless=True)

    def _on_scored(self, scored: dict[str, tuple[Mask, tuple[Spot, ...]]]) -> None:
        self._scored, self._revision = scored, self._asked
        if self._session is None or not self._waiting:
            return
        if self._revision != self._session.revision:
            self._score()
            return
        self._go()

    def _on_failed(self, error: Exception) -> None:
        self._waiting = False
        self.said.emit(str(error))

    def _go(self) -> None:
        session, self._waiting = self._session, False
        if session is None:
            return
        there = {s.id for s in session.structures}
        spots = [s for s in listed(self._scored, self._findings, session.structures.grid) if s.structure_id in there]
        spot = next_spot(spots, self._visited)
        if spot is None:
            self.said.emit(tr("No slice of an undecided structure stands out."))
            return
        self._visited.pop(spot.key, None)
        self._visited[spot.key] = None
        del self._trail[self._at + 1 :]
        self._trail.append(spot)
        self._at = len(self._trail) - 1
        self._show(spot, len(spots), sum(s.key in self._visited for s in spots))

    def _show(self, spot: Spot, total: int = 0, seen: int = 0) -> None:
        structure = next((s for s in self._session.structures if s.id == spot.structure_id), None)  # type: ignore[union-attr]
        if structure is None:
            self.said.emit(tr("That structure is not there any more."))
            return
        self.wanted.emit(spot)
        self.said.emit(
            spot.text(structure.name) + (tr("  ({seen} of {total})").format(seen=seen, total=total) if total else "")
        )
