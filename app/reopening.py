"""What there is in a review folder before it is opened: a review, edits that were not saved, somebody at work."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.lease import Holder, holder_of
from contourdesk.app.project import SavedReview, load, needs_recovery
from contourdesk.app.reviews import CASE


@dataclass(frozen=True)
class ReviewState:
    """`exists`: a review was saved there; `unsaved`: its journal has edits that the save has not; `holder`: at work.

    `untouched`: nobody has worked on it; a model has proposed, see `propose_many`.
    """

    exists: bool
    unsaved: bool = False
    holder: Holder | None = None
    untouched: bool = False


def review_state(folder: Path) -> Job[ReviewState]:
    """Look at a review folder, which may not exist. Raises UserError when it can't be read."""
    yield Progress(0, 0, "Looking for a review")
    try:
        holder = holder_of(folder)
        if holder is not None and (holder.dead or holder.stale):
            holder = None
        if not (folder / CASE).exists():
            return ReviewState(False, holder=holder)
        return ReviewState(True, needs_recovery(folder), holder, _is_untouched(folder))
    except OSError as error:
        raise UserError(f"{folder} can't be read ({error.strerror}).", "Check that the drive is there.") from error


def _is_untouched(folder: Path) -> bool:
    try:
        read = json.loads((folder / CASE).read_text("utf-8"))
        states = [s["header"]["decision"]["state"] for s in read["structures"]]
        return not read["reviewer"] and not any(state != "unreviewed" for state in states)
    except (OSError, ValueError, KeyError, TypeError):
        return False  # opening says what is wrong with it


def load_all(folder: Path) -> Job[tuple[SavedReview, Holder | None]]:
    """A review as it is now, with the edits that only the journal has, and who is at work on it. Raises UserError."""
    saved = yield from load(folder, recover=True)
    state = yield from review_state(folder)
    return saved, state.holder
