"""Structures to an RTSTRUCT file that a planning system takes, read back and compared before it counts as written."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian

from contourdesk.app.case import Case
from contourdesk.app.dicom_contours import Drawn, drawn_contours, same_contours
from contourdesk.app.dicom_identity import IDENTITY
from contourdesk.app.errors import UserError
from contourdesk.app.files import proved, write_atomically
from contourdesk.app.profiles import Profile, profile
from contourdesk.app.rt_findings import ContourSummary, RoiSummary, RtFinding, SetSummary, profile_findings
from contourdesk.app.rtstruct_build import RtStructOptions, build, put_approval
from contourdesk.app.rtstruct_read import read_rtstruct
from contourdesk.app.structures import Structure, StructureSet

__all__ = ["RtStructOptions", "check_export", "write_rtstruct"]

log = logging.getLogger(__name__)

MAX_ROI_NAME = 64  # LO
MAX_LABEL = 16  # SH
_DEFAULT = RtStructOptions()


def write_rtstruct(
    case: Case,
    structures: Sequence[Structure],
    path: Path,
    *,
    reviewer: str = "",
    label: str = "Contourdesk",
    approve: bool | None = None,
    options: RtStructOptions = _DEFAULT,
) -> Path:
    """Write structures as a DICOM RT Structure Set that refers to the case's images.

    Imported contours that still hold are written point for point; the rest is drawn from the masks as `options` say.
    The file depends on its content alone, not on clock or machine: the same structures, names and decisions give the
    same bytes and UIDs again, anything else new UIDs. Its dates are those of the review's last change.

    Parameters
    ----------
    case : must come from DICOM, with SOP Instance UIDs and a frame of reference.
    structures : on the case's grid, in the order wanted.
    path : file to write; an older export there is replaced only when the new one is proved good.
    reviewer : name for the approval; the person who decided last when empty.
    label : structure set label, 16 characters at most.
    approve : whether to mark the set APPROVED. None: when every structure is accepted.
    options : how to draw, and for which planning system.

    Raises
    ------
    UserError : the images can't be referred to, a name doesn't fit, the planning system would refuse it, the file
        can't be written, or what was read back differs from what was to be written; then no file is left.
    """
    _check_case(case, path)
    _check_texts(structures, label)
    approved = _approved(structures, approve)
    system = profile(options.profile)
    drawn = _draw(case, structures, options, system)
    names = system.fitting_names([s.name for s in structures])
    _refuse(profile_findings(_summary(names, drawn, label), system))
    dataset = build(case, structures, names, drawn, label)
    put_approval(dataset, case, structures, approved, reviewer)
    data = _serialise(dataset)
    with proved(path) as beside:
        write_atomically(beside, data)
        _compare(beside, case, structures, names, drawn)
    log.info("wrote a structure set of %d structures, %d bytes", len(structures), len(data))
    return path


def check_export(
    case: Case, structures: Sequence[Structure], *, label: str = "Contourdesk", options: RtStructOptions = _DEFAULT
) -> list[RtFinding]:
    """What the planning system of `options` would refuse or lose of an export, before it is made; errors first.

    Names that would be written in another form are told as warnings. Parameters as of `write_rtstruct`.

    Raises
    ------
    UserError : the images can't be referred to, or a name is none for DICOM.
    """
    _check_case(case, None)
    _check_texts(structures, label)
    system = profile(options.profile)
    names = system.fitting_names([s.name for s in structures])
    changed = [
        RtFinding("warning", s.name, f'{system.title}: "{s.name.strip()}" will be called "{name}".')
        for s, name in zip(structures, names, strict=True)
        if s.name.strip() != name
    ]
    return [*profile_findings(_summary(names, _draw(case, structures, options, system), label), system), *changed]


def _check_case(case: Case, path: Path | None) -> None:
    instead = "Export NIfTI masks or a training case instead."
    source = case.source
    if source.header is None or not source.image_uids:
        raise UserError("An RTSTRUCT refers to DICOM images, and this case isn't from DICOM.", instead)
    if not all(source.image_uids) or not source.study_uid:
        raise UserError("The images have no UIDs, so an RTSTRUCT can't refer to them.", instead)
    if not case.volume.grid.frame_of_reference_uid:
        raise UserError("The images name no frame of reference, so an RTSTRUCT can't refer to it.", instead)
    if path is not None and path.exists() and path.parent.resolve() == source.path.resolve():
        raise UserError(f"{path.name} lies among the patient's images and is never written over.", "Choose a new name.")


def _check_texts(structures: Sequence[Structure], label: str) -> None:
    if not structures:
        raise UserError("There is no structure to export.", "Accept structures first, or export all.")
    texts = [("structure", s.name.strip(), MAX_ROI_NAME) for s in structures]
    for what, text, limit in [*texts, ("structure set label", label, MAX_LABEL)]:
        if not text or len(text) > limit or "\\" in text or not text.isprintable():
            raise UserError(
                f'The {what} "{text[:80]}" can\'t be a DICOM name: that has 1 to {limit} characters and no backslash.',
                "Rename it.",
            )
    seen: dict[str, str] = {}
    for _, name, _ in texts:
        other = seen.setdefault(name.casefold(), name)
        if other is not name:
            raise UserError(f'Two structures are called "{other}" and "{name}".', "Rename one of them.")


def _approved(structures: Sequence[Structure], approve: bool | None) -> bool:
    open_ones = [s.name for s in structures if not s.decision.accepted]
    if approve and open_ones:
        raise UserError(
            f"\"{open_ones[0]}\" isn't accepted, so the set can't be approved.", "Accept it or leave it out."
        )
    return not open_ones if approve is None else approve


def _draw(case: Case, structures: Sequence[Structure], options: RtStructOptions, system: Profile) -> list[list[Drawn]]:
    style = options.style(system)
    return [drawn_contours(s, case, style) for s in structures]


def _summary(names: Sequence[str], drawn: Sequence[Sequence[Drawn]], label: str) -> SetSummary:
    """What would be written. Bytes of contours are taken at their most, eight characters a number."""
    rois = [
        RoiSummary(
            name,
            [
                ContourSummary(d.contour.kind, n := len(d.contour.points_lps), 27 * n, d.image is not None)
                for d in contours
            ],
        )
        for name, contours in zip(names, drawn, strict=True)
    ]
    return SetSummary(label, rois, lists_images=True)


def _refuse(findings: Sequence[RtFinding]) -> None:
    errors = [f for f in findings if f.severity == "error"]
    if errors:
        more = f" There {'is 1 more remark' if len(errors) == 2 else f'are {len(errors) - 1} more'}."
        raise UserError(
            f"The structure set would be refused. {errors[0].text}{more if len(errors) > 1 else ''}",
            "Change the structure, or choose another planning system.",
        )


def _serialise(ds: Dataset) -> bytes:
    """The file's bytes; UIDs of its own are made from all the rest.

    Implicit VR: with an explicit one, contours over 64 kB would lose their type.
    """
    body = BytesIO()
    dcmwrite(body, ds, implicit_vr=True, little_endian=True)
    digest = hashlib.sha256(body.getbuffer()).digest()
    ds.SOPInstanceUID, ds.SeriesInstanceUID = _uid(digest + b"instance"), _uid(digest + b"series")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    out = BytesIO()
    FileDataset(out, ds, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=True, is_little_endian=True).save_as(
        out, enforce_file_format=True
    )
    return out.getvalue()


def _uid(content: bytes) -> str:
    """A UID made from content: a UUID of the kind that comes from a hash, as PS3.5 B.2 writes it."""
    return f"2.25.{uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=5).int}"


def _compare(
    path: Path,
    case: Case,
    structures: Sequence[Structure],
    names: Sequence[str],
    drawn: Sequence[Sequence[Drawn]],
) -> None:
    """Raise UserError unless the file holds what was to be written, as our own reader sees it."""
    found = read_rtstruct(path, replace(case, structures=StructureSet(case.volume.grid)))
    problem = "" if len(found) == len(structures) else f"{len(found)} structures instead of {len(structures)}"
    # On the grid of resampled images a mask can't come back from the original slices bit by bit, its contours can.
    same_grid = case.source.resampled is None
    for want, name, contours, got in zip(structures, names, drawn, found, strict=False):
        if got.name != name:
            problem = problem or f'the name of "{want.name}"'
        elif got.colour != tuple(want.colour):
            problem = problem or f'the colour of "{want.name}"'
        elif (same_grid and not got.mask.equals(want.mask)) or not same_contours(contours, got.contours or ()):
            problem = problem or f'the shape of "{want.name}"'
    header, head = case.source.header, dcmread(path, specific_tags=[*IDENTITY, "SpecificCharacterSet"])
    if header is not None:
        for keyword in IDENTITY:
            if str(header.get(keyword) or "") != str(head.get(keyword) or ""):
                problem = problem or f"the patient or study ({keyword})"
    if problem:
        raise UserError(
            f"The structure set was not written: read back, {problem} came out different.",
            "This is a fault of Contourdesk; please report it with the log.",
        )
