"""A case and its structures with pseudonyms in the place of everything that tells who it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pydicom import Dataset

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.deidentify import Pseudonyms, reviewer_code
from contourdesk.app.deidentify_dicom import Removals, deidentify
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.identifiers import Identifiers
from contourdesk.app.naming import suggest
from contourdesk.app.structures import Decision, Provenance, Structure, StructureSet


def deidentified_case(case: Case, names: Pseudonyms, identifiers: Identifiers, *, defaced: bool = False) -> Case:
    """The case as a stranger may see it, for writers to refer to; its pixels are the same, and it has no structures.

    Raises
    ------
    UserError : it isn't from DICOM.
    """
    source = case.source
    if source.header is None or not source.image_uids:
        raise UserError("This case isn't from DICOM, so there is no DICOM to de-identify.", "Export it as nnunet.")
    header = copy.deepcopy(source.header)
    deidentify(header, names, identifiers, Removals(), defaced=defaced)
    put_missing_uids(header, names, source.series_uid, 0)
    uids = tuple(uid_of(uid, names, source.series_uid, n) for n, uid in enumerate(source.image_uids))
    old = case.volume.grid
    frame = str(header.FrameOfReferenceUID)
    grid = Grid(old.shape, old.affine, frame)
    clean = Source(
        path=Path(names.code),
        series_uid=str(header.SeriesInstanceUID),
        study_uid=str(header.StudyInstanceUID),
        modality=source.modality,
        date=names.date(source.date),
        image_uids=uids,
        image_class_uids=source.image_class_uids,
        image_frames=source.image_frames,
        header=header,
        resampled=None if source.resampled is None else replace(source.resampled, grid=grid),
    )
    volume = replace(case.volume, grid=grid)
    return Case(Patient(f"{names.code}^", names.code), volume, clean, StructureSet(grid))


def uid_of(uid: str, names: Pseudonyms, series_uid: str, number: int) -> str:
    """An image's new UID, also where an anonymiser blanked the old one."""
    return names.uid(uid or f"{series_uid} image {number}")


def put_missing_uids(ds: Dataset, names: Pseudonyms, series_uid: str, number: int) -> None:
    """Give a de-identified data set the UIDs that were blank in it."""
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        if not ds.get(keyword):
            setattr(ds, keyword, names.uid(f"{series_uid} {keyword}"))
    if not ds.get("SOPInstanceUID"):
        ds.SOPInstanceUID = uid_of("", names, series_uid, number)


def deidentified_structures(
    structures: Sequence[Structure], names: Pseudonyms, identifiers: Identifiers
) -> list[Structure]:
    """The structures with TG-263 names where they have one, codes for persons, shifted times and no remarks.

    Raises
    ------
    UserError : a name holds a word by which someone is known.
    """
    image = names.uid
    return [_structure(s, names, identifiers, image) for s in structures]


def _structure(s: Structure, names: Pseudonyms, identifiers: Identifiers, image: Callable[[str], str]) -> Structure:
    check_name(s.name, identifiers)
    made = s.provenance
    model = "" if identifiers.found_in(made.model) else made.model
    provenance = Provenance(
        made.source,
        reviewer_code(made.person),
        names.moment(made.time),
        model,
        made.weights_sha256,
        made.software,
    )
    decided = Decision(s.decision.state, reviewer_code(s.decision.person), names.moment(s.decision.time))
    contours = None
    if s.contours is not None:
        contours = tuple(replace(c, image_uid=image(c.image_uid) if c.image_uid else "") for c in s.contours)
    # The clinic's own files have UIDs made of the structure's id.
    other_id = f"{int(names.uid(s.id).rpartition('.')[2]):032x}"
    return replace(
        s,
        id=other_id,
        name=suggest(s.name) or s.name,
        provenance=provenance,
        decision=decided,
        contours=contours,
        group="",
    )


def check_name(name: str, identifiers: Identifiers) -> None:
    """Raise UserError when a structure's name tells who the patient or a member of staff is."""
    if suggest(name) is None and identifiers.found_in(name):
        raise UserError(
            f'The name of the structure "{name}" tells who somebody is.', "Rename it before it leaves the house."
        )
