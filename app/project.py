"""The review folder: what a review looks like on disk, and how it comes back.

``case.json``       what is reviewed and each structure's name, colour, decision, provenance; names its masks file
``masks-*.npz``     packed bits and imported contours; never changed once written
``confidence-*.z``   the model's probabilities (see `confidence_files`)
``case.previous.json`` the save before, with its own masks file
``journal.jsonl``   every edit at once (see `journal`)
``audit.jsonl``     who did what when (see `audit`)
``lease-*.json``, ``lock`` who has the review open (see `lease`)

No pixel of the image is in it, and it never lies in the image folder. ``case.json`` holds the patient's name for the
start page: the folder is clinical data, like the images.

A save writes a new masks file, then swaps ``case.json``; so there is a usable save at every moment. A run of the
program is ``open_review`` (lock, first save, journal), edits, ``save`` from time to time, ``Journal.close``.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from contourdesk.app import confidence_files, reading_files
from contourdesk.app.case import Case
from contourdesk.app.confidence import Confidence
from contourdesk.app.errors import UserError
from contourdesk.app.files import flush_folder, write_atomically
from contourdesk.app.history import EditHistory
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.journal import Journal, Waiting, last_revision, read_journal
from contourdesk.app.readings import Reading
from contourdesk.app.replay import rebuild, replay
from contourdesk.app.resample import Resample
from contourdesk.app.review import ReviewSession, Snapshot
from contourdesk.app.review_format import (
    SCHEMA,
    Arrays,
    case_to_json,
    pack_arrays,
    software,
    structure_arrays,
    structure_from_save,
)
from contourdesk.app.reviews import CASE, check_place, grid_of, resampled_of
from contourdesk.app.structures import StructureSet

log = logging.getLogger(__name__)

PREVIOUS = "case.previous.json"


class OtherReview(UserError):
    """A folder holds another or a later review, which must not be written over."""


@dataclass(frozen=True, eq=False)
class SavedReview:
    """A review as it was read. `notes` are for the user; `recovered` counts edits that only the journal had.

    `resampled` is how its images were resampled, None when they were not; to be given to `read_series`.
    """

    folder: Path
    image_path: Path
    series_uid: str
    structures: StructureSet
    revision: int
    reviewer: str
    saved_at: str
    history: EditHistory
    recovered: int = 0
    notes: tuple[str, ...] = ()
    resampled: Resample | None = None
    confidence: Mapping[str, Confidence] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    work: Mapping[str, Any] = field(default_factory=dict)


def needs_recovery(folder: Path) -> bool:
    """Whether the journal holds edits that the last save has not. Raises UserError when it can't be read."""
    try:
        read = _read_case(folder / CASE)
        return last_revision(folder) > int(read["revision"])
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):
        return True
    except OSError as error:
        raise _cannot_read(folder, error) from error


# -- saving ------------------------------------------------------------------------------------------------------


def open_review(
    snapshot: Snapshot,
    folder: Path,
    *,
    take_over: bool = False,
    waiting: Waiting | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Job[Journal]:
    """Make the folder if need be, take it, save the snapshot, and open the journal; then ``journal.attach(session)``.

    `take_over`, `waiting`: see `Journal`; `extra`: see `save`.

    Raises
    ------
    UserError : the folder can't be written, lies in the image folder, is open elsewhere (`ReviewHeld`), or holds
        another or a later review, which must be loaded (`load`, `resume`), not written over.
    """
    check_place(folder, snapshot.case.source.path)
    _check_same_review(snapshot, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_save(folder, error) from error
    journal = Journal(folder, snapshot.revision, snapshot.reviewer, software(), take_over=take_over, waiting=waiting)
    try:
        yield from save(snapshot, folder, journal, extra)
    except BaseException:
        journal.close()
        raise
    return journal


def _check_same_review(snapshot: Snapshot, folder: Path) -> None:
    try:
        there = _read_case(folder / CASE)
        _read_structures(folder, there)
        later = int(there["revision"]) > snapshot.revision
        other = there["case"]["series_uid"] != snapshot.case.source.series_uid
    except (OSError, ValueError, KeyError, TypeError):
        return
    if later or other:
        whose = "other images" if other else "these images"
        raise OtherReview(f"There is already a review of {whose} in {folder}.", "Open it, or choose another folder.")


def save(
    snapshot: Snapshot, folder: Path, held: Journal | None = None, extra: Mapping[str, Any] | None = None
) -> Job[None]:
    """Save a snapshot; the last two saves are kept. Stopped or failing at any point, it leaves the last one usable.

    One save of a folder at a time. `held` is the folder's open journal: nothing is written when it has lost the
    folder. `extra` goes into ``case.json`` too.

    Raises
    ------
    UserError : the disk is full, the folder can't be written, it lies in the image folder, or is lost (`LeaseLost`).
    """
    check_place(folder, snapshot.case.source.path)
    total = len(snapshot.structures) + 1
    arrays: Arrays = {}
    for i, s in enumerate(snapshot.structures):
        yield Progress(i, total, "Saving")
        arrays.update(structure_arrays(i, s))
    data = yield from pack_arrays(arrays)
    digest = hashlib.sha256(data).hexdigest()
    masks = f"masks-{digest[:16]}.npz"
    kept = snapshot.confidence
    content = case_to_json(snapshot) | {"masks": {"file": masks, "sha256": digest}}
    content |= {"confidence": confidence_files.to_json(kept), **(extra or {})}
    try:
        if held is None:
            folder.mkdir(parents=True, exist_ok=True)
        else:
            held.lease.check()
        yield from confidence_files.write(folder, kept)
        content[reading_files.KEY] = yield from reading_files.write(folder, snapshot.readings)
        write_atomically(folder / masks, data)
        if held is not None:
            content["audit"] = asdict(held.head())
            held.lease.check()
        _keep_previous(folder)
        write_atomically(folder / CASE, json.dumps(content, indent=1, ensure_ascii=False).encode())
        _tidy(folder)
    except OSError as error:
        raise _cannot_save(folder, error) from error


def _keep_previous(folder: Path) -> None:
    """Make the present save the previous one, unless it is damaged: then the older one is the better."""
    try:
        current = (folder / CASE).read_bytes()
        name = json.loads(current)["masks"]["file"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return
    if (folder / name).is_file():
        write_atomically(folder / PREVIOUS, current)


def _tidy(folder: Path) -> None:
    """Remove masks files that no save names, and what a crash in mid-write left."""
    named = set()
    for case in (CASE, PREVIOUS):
        try:
            read = _read_case(folder / case)
            named |= {read["masks"]["file"], *confidence_files.files_of(read)}
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            return  # better a file too many
    for file in [f for kind in ("masks-*.npz", confidence_files.PATTERN, ".*.tmp") for f in folder.glob(kind)]:
        if file.name not in named:
            file.unlink(missing_ok=True)
    flush_folder(folder)


# -- loading -----------------------------------------------------------------------------------------------------


def load(folder: Path, *, recover: bool = False) -> Job[SavedReview]:
    """Read a review; with `recover`, also the edits that only the journal has. Writes nothing.

    A damaged last save is passed over for the one before it, with a note. The undo history comes back as far as the
    journal tells it without a gap.

    Raises
    ------
    UserError : no review there, no usable save, or written by a newer version.
    """
    yield Progress(0, 3, "Reading the review")
    read, structures, notes = _last_save(folder)
    saved_revision = revision = int(read["revision"])
    yield Progress(1, 3, "Reading the journal")
    try:
        journal = read_journal(folder)
    except OSError as error:
        raise _cannot_read(folder, error) from error
    if journal.damaged:
        notes.append(f"{journal.damaged} lines of the journal are damaged.")
    confidence, lost = confidence_files.read(folder, read, structures.grid.shape)
    if lost:
        notes.append("Some of the model's probabilities are damaged and can't be shown.")
    readings, lost = reading_files.read(folder, read, structures.grid)
    if lost:
        notes.append("A former reading is damaged or gone; its file, if there is one, was left as it is.")
    yield Progress(2, 3, "Applying the journal")
    if recover:
        structures, revision = replay(structures, saved_revision, journal.records)
        if journal.records and journal.records[-1].revision > revision:
            notes.append("The last edits could not be recovered.")
    return SavedReview(
        folder=folder,
        image_path=Path(read["case"]["path"]),
        series_uid=read["case"]["series_uid"],
        structures=structures,
        revision=revision,
        reviewer=read["reviewer"],
        saved_at=read["saved_at"],
        history=rebuild(journal.records, revision),
        recovered=revision - saved_revision,
        notes=tuple(notes),
        resampled=resampled_of(read),
        confidence=confidence,
        readings=readings,
        work=read.get("work") or {},
    )


def resume(case: Case, saved: SavedReview) -> ReviewSession:
    """A session on `case` that goes on where `saved` ended.

    Raises UserError when the image is not the one that was reviewed.
    """
    same = case.source.series_uid == saved.series_uid and case.volume.grid.is_close(saved.structures.grid)
    one, other = case.source.resampled, saved.resampled
    if one is not None and other is not None:
        same = same and one.planes.is_close(other.planes)
    if not same or (one is None) != (other is None):
        raise UserError("This review belongs to another image.", f"It was made on {saved.image_path}.")
    structures = StructureSet(case.volume.grid, saved.structures.items)
    return ReviewSession(
        case,
        saved.reviewer,
        structures=structures,
        revision=saved.revision,
        history=saved.history,
        confidence=saved.confidence,
        readings=saved.readings,
        work=saved.work,
    )


def _last_save(folder: Path) -> tuple[dict[str, Any], StructureSet, list[str]]:
    notes: list[str] = []
    for name in (CASE, PREVIOUS):
        try:
            read = _read_case(folder / name)
            if int(read["schema"]) > SCHEMA:
                raise UserError("This review was made by a newer version of Contourdesk.", "Update Contourdesk.")
            return read, _read_structures(folder, read), notes
        except FileNotFoundError:
            log.warning("review: %s or its masks are missing", name)
        except (ValueError, KeyError, TypeError):
            log.warning("review: %s or its masks are damaged", name, exc_info=True)
        except OSError as error:
            raise _cannot_read(folder, error) from error
        notes.append("The last save is damaged; the one before it was used.")
    if not any((folder / name).exists() for name in (CASE, PREVIOUS)):
        raise UserError(f"There is no review in {folder}.", "Choose a folder that holds a case.json.")
    raise UserError(f"The review in {folder} is damaged.", "Take it back from a backup, or review the images anew.")


def _read_case(path: Path) -> dict[str, Any]:
    read = json.loads(path.read_text("utf-8"))
    if not isinstance(read, dict):
        raise ValueError("not an object")
    return read


def _read_structures(folder: Path, read: dict[str, Any]) -> StructureSet:
    """Raises OSError, ValueError, KeyError, TypeError."""
    name = str(read["masks"]["file"])
    if os.path.basename(name) != name:
        raise ValueError(f"masks file {name!r} is not in the folder")
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != read["masks"]["sha256"]:
        raise ValueError("masks differ from what was saved")
    grid = grid_of(read)
    resampled_of(read)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return StructureSet(grid, tuple(structure_from_save(i, s, arrays) for i, s in enumerate(read["structures"])))


def _cannot_save(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"The review could not be saved in {folder} ({error.strerror}). The last save is intact.",
        "Free some space, correct its permissions, or choose another folder in the settings.",
    )


def _cannot_read(folder: Path, error: OSError) -> UserError:
    return UserError(f"The review in {folder} can't be read ({error.strerror}).", "Check that the drive is there.")
