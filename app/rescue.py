"""Keeping the work when the review folder can't be written any more: full, gone, read-only, or taken over.

`keep` is what autosave runs. It saves where the work belongs; when that can't be done, to a copy in another place, and
it goes on trying. Someone else's review is never written to: what a reviewer does who has lost the folder goes to a
copy beside it for good.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job
from contourdesk.app.journal import Journal, Waiting
from contourdesk.app.lease import Holder, LeaseLost, ReviewHeld
from contourdesk.app.project import OtherReview, open_review, save
from contourdesk.app.review import Snapshot
from contourdesk.app.settings import data_dir

log = logging.getLogger(__name__)

RESCUED = "rescued"


@dataclass(frozen=True, eq=False)
class Place:
    """Where a session is kept.

    Parameters
    ----------
    folder : the review folder that it belongs to.
    journal : the open journal of `folder`, or None while it can't be written.
    rescue : the open journal of a copy in another place, while there is one.
    waiting : what the last journal of `folder` could not write.
    lost_to : who took the review over; `folder` is then a copy beside it.
    """

    folder: Path
    journal: Journal | None = None
    rescue: Journal | None = None
    waiting: Waiting = field(default_factory=Waiting)
    lost_to: Holder | None = None


@dataclass(frozen=True, eq=False)
class Kept:
    """How a save went: where the session is kept from now on, and what stood in the way, None when nothing did."""

    place: Place
    revision: int
    error: UserError | None = None


def keep(snapshot: Snapshot, place: Place, extra: Mapping[str, Any] | None = None) -> Job[Kept]:
    """Save a snapshot where it belongs, else beside or in another place; `extra` goes into ``case.json``.

    Raises UserError only when it could be saved nowhere.
    """
    try:
        place = yield from _at_home(snapshot, place, extra)
        return Kept(_without_rescue(place), snapshot.revision)
    except (LeaseLost, ReviewHeld, OtherReview) as error:
        place = yield from _beside(snapshot, place, error, extra)
        return Kept(_without_rescue(place), snapshot.revision)
    except UserError as error:
        place = _let_go(place)
        try:
            place = yield from _elsewhere(snapshot, place, extra)
        except UserError:
            log.warning("no other place could be written to", exc_info=True)
            raise error from None
        return Kept(place, snapshot.revision, error)


def _at_home(snapshot: Snapshot, place: Place, extra: Mapping[str, Any] | None) -> Job[Place]:
    if place.journal is not None:
        yield from save(snapshot, place.folder, place.journal, extra)
        return place
    journal = yield from open_review(snapshot, place.folder, waiting=place.waiting, extra=extra)
    return Place(place.folder, journal, place.rescue, lost_to=place.lost_to)


def _beside(
    snapshot: Snapshot, place: Place, error: LeaseLost | ReviewHeld | OtherReview, extra: Mapping[str, Any] | None
) -> Job[Place]:
    """Go on in a copy beside a review that someone else has now. Raises UserError."""
    place = _let_go(place)
    holder = Holder("", "", 0, "", 0) if isinstance(error, OtherReview) else error.holder
    mine = Place(side_folder(place.folder), None, place.rescue, lost_to=holder)
    try:
        return (yield from _at_home(snapshot, mine, extra))
    except UserError:
        log.warning("no copy could be made beside the review", exc_info=True)
        return (yield from _elsewhere(snapshot, mine, extra))


def _let_go(place: Place) -> Place:
    """Close the journal that can't be written, and keep what it could not write for the next one."""
    if place.journal is None:
        return place
    return Place(place.folder, None, place.rescue, place.journal.give_up(), place.lost_to)


def _elsewhere(snapshot: Snapshot, place: Place, extra: Mapping[str, Any] | None) -> Job[Place]:
    """Save to the copy in another place, making it if need be. Raises UserError when there is no such place."""
    if place.rescue is not None:
        try:
            yield from save(snapshot, place.rescue.folder, place.rescue, extra)
            return place
        except UserError:
            log.warning("the copy in another place can't be written any more", exc_info=True)
            place.rescue.close()
    failure: UserError | None = None
    for folder in rescue_folders(place.folder):
        try:
            journal = yield from open_review(snapshot, folder, extra=extra)
            return Place(place.folder, place.journal, journal, place.waiting, place.lost_to)
        except UserError as error:
            failure = error
    raise failure or UserError("There is no other place to save to.", "Free some space.")


def rescue_roots() -> list[Path]:
    """Folders that copies are made in, the best first: in user data, home, temporary files."""
    roots = [data_dir() / RESCUED]
    with contextlib.suppress(RuntimeError):  # there is no home
        roots.append(Path.home() / "contourdesk-rescued")
    return [*roots, Path(tempfile.gettempdir()) / "contourdesk-rescued"]


def rescue_folders(folder: Path) -> Iterator[Path]:
    """Places for a copy of the review `folder`, the best first."""
    for root in rescue_roots():
        if folder.resolve().parent != root.resolve():
            yield root / f"{folder.name}-{datetime.now():%Y%m%d-%H%M%S}"


def side_folder(folder: Path) -> Path:
    """A new place beside a review that someone took over."""
    return folder.with_name(f"{folder.name}-mine-{datetime.now():%Y%m%d-%H%M%S}")


def _without_rescue(place: Place) -> Place:
    """Remove the copy in another place, now that the work is where it belongs."""
    if place.rescue is None:
        return place
    folder = place.rescue.folder
    place.rescue.close()
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()  # unless there are others
    return Place(place.folder, place.journal, None, place.waiting, place.lost_to)
