"""Proposals for many cases ahead of their review, overnight say: each becomes a review that nobody has looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.confidence import Confidence
from contourdesk.app.console import log_traceback
from contourdesk.app.dicom_read import read_series
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress, part
from contourdesk.app.opening import open_path
from contourdesk.app.project import open_review, save
from contourdesk.app.review import ReviewSession
from contourdesk.app.reviews import CASE, default_review_folder
from contourdesk.app.settings import Settings
from contourdesk.app.structures import Structure

Proposals = tuple[Sequence[Structure], dict[str, Confidence]]


@dataclass(frozen=True)
class Proposed:
    """What came of the cases: how many got proposals; and place to reason for those that did not."""

    count: int
    failed: dict[Path, str]


def propose_many(
    cases: Sequence[tuple[Path, str]], segment: Callable[[Case], Job[Proposals]], settings: Settings
) -> Job[Proposed]:
    """Job: make proposals for cases without a review, and keep each with its probabilities as a review.

    A case that fails stops no other. What was made stays when the job is closed.

    Parameters
    ----------
    cases : place, and UID of the series in it ("" where only reading tells).
    segment : what makes the proposals of one case.
    """
    count, failed = 0, dict[Path, str]()
    for number, (place, uid) in enumerate(cases):
        job = part(_propose(place, uid, segment, settings), number, len(cases), f"{number + 1} of {len(cases)}")
        try:
            count += yield from job
        except UserError as error:
            failed[place] = str(error)
        except Exception as error:  # noqa: BLE001 - one case must not end the night; the log has the traceback
            log_traceback()
            failed[place] = f"A fault in the program ({type(error).__name__}); the log file has the details."
    return Proposed(count, failed)


def _propose(place: Path, uid: str, segment: Callable[[Case], Job[Proposals]], settings: Settings) -> Job[bool]:
    """Whether a review was made; not when somebody has begun one in the meantime. Raises UserError."""
    case = yield from _read(place, uid)
    folder = default_review_folder(case, settings)
    if (folder / CASE).exists():
        return False
    structures, confidence = yield from segment(case)
    if (folder / CASE).exists():
        return False
    session = ReviewSession(case)
    session.blind = settings.blind
    yield Progress(1, 1, "Saving")
    with (yield from open_review(session.snapshot(), folder)) as journal:
        journal.attach(session)
        session.add_proposals(structures, confidence=confidence)
        yield from save(session.snapshot(), folder, journal)
    return True


def _read(place: Path, uid: str) -> Job[Case]:
    opened = yield from open_path(place)
    if isinstance(opened, Case):
        return opened
    chosen = [s for s in opened if s.uid == uid] or opened
    if len(chosen) != 1 or not chosen[0].usable:
        raise UserError("Opening this case needs an answer from you.", "Open it in the window.")
    return (yield from read_series(chosen[0]))
