"""A folder of DICOM files to a list of series, and one of them to a `Case`.

`scan` reads headers only and says for each series whether it can be used and, if not, exactly why. `read_series` reads
the pixels. Both are jobs. Nothing is guessed or averaged.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import config

from contourdesk.app.archives import is_archive, members
from contourdesk.app.case import Case
from contourdesk.app.dicom_headers import Broken, Header, list_files, read_header
from contourdesk.app.dicom_multiframe import is_multiframe, split_frames
from contourdesk.app.dicom_pixels import read_image
from contourdesk.app.dicom_series import Stack, sort_into_stacks
from contourdesk.app.dicomdir import NAME as DICOMDIR
from contourdesk.app.dicomdir import read_dicomdir
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.resample import Resample
from contourdesk.app.resample_image import resample_case
from contourdesk.app.rtstruct_read import add_rtstruct
from contourdesk.app.rtstruct_read import references as rtstruct_references
from contourdesk.app.seg_read import add_seg
from contourdesk.app.seg_read import references as seg_references

# Odd values in old files are met by the checks here, which name the file, and not by pydicom's warnings.
config.settings.reading_validation_mode = config.IGNORE

log = logging.getLogger(__name__)
_RTSTRUCT, _SEG = "RTSTRUCT", "SEG"
_REFERENCES = {_RTSTRUCT: rtstruct_references, _SEG: seg_references}
_FEW = 3


@dataclass(frozen=True)
class SeriesInfo:
    """One stack of slices found in a folder.

    Parameters
    ----------
    uid : Series Instance UID, or "file-" and a hash where it was blanked. Two stacks of one series share it.
    problems : why it can't be used, each a sentence; empty when it can.
    notes : what was noticed and doesn't stand in the way, such as duplicates left out.
    files : in array order when usable; each once, although a multi-frame file holds many slices. In an archive they are
        paths that go on after the archive's (see `app.archives`), and so are `rtstructs` and `segs`.
    rtstructs : structure sets that refer to it;  segs : segmentations that do.
    shape : (slices, rows, columns).
    """

    uid: str
    modality: str
    patient_name: str
    date: str
    description: str
    slices: int
    spacing_text: str
    problems: tuple[str, ...]
    files: tuple[Path, ...]
    rtstructs: tuple[Path, ...] = ()
    segs: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    study_uid: str = ""
    shape: tuple[int, int, int] = (0, 0, 0)
    stack: Stack | None = None

    @property
    def usable(self) -> bool:
        """Whether `read_series` can open it."""
        return not self.problems

    @property
    def resample(self) -> Resample | None:
        """What resampling to an even grid would do, where that solves all `problems`; the reviewer decides on it."""
        return self.stack.layout.resample if self.problems and self.stack is not None else None


def scan(place: Path) -> Job[list[SeriesInfo]]:
    """Find the series in a folder, a zip archive or a DICOMDIR, usable ones first, then those that can be resampled.

    Raises
    ------
    UserError : nothing in it can be opened; says what there is instead.
    """
    files, stray = yield from _files_of(place)
    if not files:
        kind = "folder" if place.is_dir() else "file"
        raise UserError(f'The {kind} "{place.name}" is empty.', "Choose the folder that holds the CT's DICOM files.")
    headers: list[Header] = []
    broken: list[Broken] = []
    for i, path in enumerate(files):
        if i % 8 == 0:
            yield Progress(i, len(files), "Reading headers")
        for found in _headers_of(path):
            if isinstance(found, Header):
                headers.append(found)
            else:
                broken.append(found)
    yield Progress(len(files), len(files), "Sorting slices")
    images = [h for h in headers if h.text("Modality") not in _REFERENCES]
    stacks = sort_into_stacks(images, broken)
    structure_sets = [(h.path, h.text("Modality")) for h in headers if h.text("Modality") in _REFERENCES]
    # A file too damaged to say which series it belongs to spoils none, but every case opened from here tells of it.
    known = {stack.uid for stack in stacks}
    stray += [f"{b.path.name} {b.reason}; it was left out." for b in broken if b.series_uid not in known]
    series = _with_structures([_info(stack) for stack in stacks], structure_sets, stray)
    series.sort(key=lambda s: (not s.usable, s.resample is None, -s.slices, s.description))
    log.info("scanned %d files: %d series, %d usable", len(files), len(series), sum(s.usable for s in series))
    if not any(s.usable or s.resample for s in series):
        raise _nothing_usable(place, files, series, broken, Counter(kind for _, kind in structure_sets))
    return series


def _files_of(place: Path) -> Job[tuple[list[Path], list[str]]]:
    """Files to look at, and what there is to tell of files that aren't there."""
    if place.is_dir():
        files = yield from list_files(place)
    elif not place.is_file():
        raise UserError(f'There is no folder "{place}".', "Check the path.")
    elif is_archive(place):
        yield Progress(0, 0, "Looking for files")
        files = members(place)
    else:
        files = yield from list_files(place.parent)
        listing = read_dicomdir(place, files)
        if not listing.there:
            raise UserError(f"None of the files that {place.name} lists is there.", "Copy the whole disc or folder.")
        return list(listing.there), [listing.note] if listing.note else []
    notes = []
    for path in files:
        if path.name.upper() == DICOMDIR:
            try:
                notes.append(read_dicomdir(path, files).note)
            except UserError as error:
                notes.append(error.message)
    return files, [note for note in notes if note]


def _headers_of(path: Path) -> Sequence[Header | Broken]:
    """What a file holds: nothing, one image or other object, or the frames of one."""
    found = read_header(path)
    if isinstance(found, Header) and is_multiframe(found):
        frames = split_frames(found)
        return [frames] if isinstance(frames, Broken) else frames
    return [] if found is None else [found]


def read_series(info: SeriesInfo, resample: Resample | None = None) -> Job[Case]:
    """Read a series' pixels, and the structures of the sets that refer to it.

    A structure set that can't be used doesn't stop the image: it becomes a note in ``case.source.notes``.

    Parameters
    ----------
    resample : ``info.resample`` (or what a review recorded) when the reviewer chose to resample a series that isn't
        usable as it is; not looked at for one that is.

    Raises
    ------
    UserError : the series isn't usable, its slices are others than `resample` was planned for, or a file is damaged;
        names it.
    """
    if info.usable:
        resample = None
    if info.stack is None or (info.problems and resample is None):
        raise refusal(info)
    if resample is None:
        case = yield from read_image(info.stack, info.uid, info.notes)
    else:
        case = yield from _read_resampled(info, info.stack, resample)
    found = [*((add_rtstruct, path) for path in info.rtstructs), *((add_seg, path) for path in info.segs)]
    for i, (add, path) in enumerate(found):
        yield Progress(i, len(found), "Reading structures")
        case = add(case, path)
    return case


def refusal(info: SeriesInfo) -> UserError:
    """Why a series can't be opened as it is, and what can be done."""
    if info.resample is None:
        return UserError(f"This series can't be opened: {' '.join(info.problems)}", "Choose another series.")
    return UserError(
        f"This series can't be opened as it is: {' '.join(info.problems)}",
        "Resample it to an even grid (--resample on the command line), or choose another series.",
    )


def _read_resampled(info: SeriesInfo, stack: Stack, how: Resample) -> Job[Case]:
    now = stack.layout.resample
    if now is None or not now.planes.is_close(how.planes):
        raise UserError("The slices are not those that were resampled for this review.", "Look for the old files.")
    # The slices are read one after the other as they are; the affine only stands in until they are resampled.
    affine = how.planes.grid_of(0).affine
    plain = replace(stack, layout=replace(stack.layout, problems=(), affine=affine))
    case = yield from read_image(plain, info.uid, info.notes)
    return (yield from resample_case(case, how))


def _info(stack: Stack) -> SeriesInfo:
    first = stack.headers[0]
    return SeriesInfo(
        uid=stack.uid,
        modality=first.text("Modality"),
        patient_name=first.text("PatientName"),
        date=_date(first),
        description=first.text("SeriesDescription") or first.text("StudyDescription"),
        slices=len(stack.headers),
        spacing_text=stack.spacing_text,
        problems=stack.problems,
        files=tuple(dict.fromkeys(h.path for h in stack.headers)),
        notes=stack.notes,
        study_uid=first.text("StudyInstanceUID"),
        shape=stack.shape,
        stack=stack,
    )


def _date(header: Header) -> str:
    """ISO date of the series, else of acquisition or study; empty when none is given."""
    for keyword in ("SeriesDate", "AcquisitionDate", "StudyDate"):
        text = header.text(keyword)
        if len(text) == 8 and text.isdigit():
            return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return ""


def _with_structures(
    series: Sequence[SeriesInfo], structure_sets: Sequence[tuple[Path, str]], stray: Sequence[str]
) -> list[SeriesInfo]:
    """Give each structure set to the series it refers to: by series, else by images, else by frame of reference.

    What is said in `stray`, and of sets that refer to none, goes into every series' notes.
    """
    mine: dict[tuple[int, str], list[Path]] = {}
    stray = list(stray)
    for path, kind in structure_sets:
        try:
            refers = _REFERENCES[kind](path)
        except UserError as error:
            stray.append(str(error))
            continue
        targets = (
            [i for i, s in enumerate(series) if s.uid in refers.series_uids]
            or [i for i, s in enumerate(series) if s.stack and refers.image_uids & s.stack.image_uids]
            or [i for i, s in enumerate(series) if s.stack and s.stack.frame_uid in refers.frame_uids]
        )
        # Parts of one series (a localiser, other phases) share its UID: the images drawn on decide between them.
        exact = [i for i in targets if (stack := series[i].stack) and refers.image_uids & stack.image_uids]
        for i in exact or targets:
            mine.setdefault((i, kind), []).append(path)
        if not targets:
            stray.append(f"{path.name} holds structures of other images than these; it was not loaded.")
    return [
        replace(
            one,
            rtstructs=tuple(mine.get((i, _RTSTRUCT), ())),
            segs=tuple(mine.get((i, _SEG), ())),
            notes=(*one.notes, *stray),
        )
        for i, one in enumerate(series)
    ]


def _nothing_usable(
    folder: Path,
    files: Sequence[Path],
    series: Sequence[SeriesInfo],
    broken: Sequence[Broken],
    structure_sets: Counter[str],
) -> UserError:
    """Say what is there instead of a CT."""
    advice = "Choose a folder that holds a whole CT series."
    ct = [s for s in series if s.modality == "CT"]
    if ct:
        worst = max(ct, key=lambda s: s.slices)
        more = f" ({len(ct) - 1} more CT series can't be used either.)" if len(ct) > 1 else ""
        return UserError(f'The CT in "{folder.name}" can\'t be used: {" ".join(worst.problems)}{more}', advice)
    if broken:
        names = "; ".join(f"{b.path.name} {b.reason}" for b in broken[:_FEW])
        more = f"; and {len(broken) - _FEW} more" if len(broken) > _FEW else ""
        return UserError(f'No CT can be read in "{folder.name}": {names}{more}.', "Export or copy the files again.")
    kinds = Counter(s.modality or "unknown" for s in series)
    if kinds or structure_sets:
        images = [f"{n} {kind} series" for kind, n in kinds.items()]
        listed = ", ".join([*images, *(f"{n} {kind}" for kind, n in structure_sets.items())])
        if not kinds:
            advice = "Open the CT that the structures were made on; then import them."
        return UserError(f'There is no CT in "{folder.name}", only {listed}.', advice)
    names = ", ".join(p.name for p in files[:_FEW]) + (", ..." if len(files) > _FEW else "")
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    return UserError(f'There are no DICOM images in "{folder.name}", only {count} of other kinds: {names}.', advice)
