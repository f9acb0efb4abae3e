"""Headers to stacks: which slices belong together, which are there twice, and what keeps a stack from being used."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from contourdesk.app.archives import open_binary
from contourdesk.app.dicom_duplicates import without_duplicates
from contourdesk.app.dicom_headers import Broken, Header, required, tag_words
from contourdesk.app.dicom_multiframe import ENHANCED_CT, missing_parts
from contourdesk.app.dicom_slices import COSINE_TOL, NEEDED, Layout, bad_geometry, directions
from contourdesk.app.dicom_stored import unclear_pixels

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_TELLING = ("Rows", "Columns", "FrameOfReferenceUID", "ConvolutionKernel", "StackID")
_HU = ("", "HU", "US")  # US: unspecified, as many writers put it in every CT
_MOST_HU = 1e6  # metal ends at some ten thousands
_FEW = 4


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices that belong together; `layout.affine` is set when they can be used."""

    uid: str
    layout: Layout

    @property
    def headers(self) -> tuple[Header, ...]:
        """In array order when usable."""
        return self.layout.headers

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it can't be used."""
        return self.layout.problems

    @property
    def notes(self) -> tuple[str, ...]:
        """What doesn't stand in the way."""
        return self.layout.notes

    @cached_property
    def image_uids(self) -> frozenset[str]:
        """SOP Instance UIDs that aren't blank."""
        return frozenset(h.text("SOPInstanceUID") for h in self.headers) - {""}

    @property
    def frame_uid(self) -> str | None:
        """Frame of reference, None when blank."""
        return self.headers[0].text("FrameOfReferenceUID") or None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns); rows and columns 0 when unknown."""
        rows, columns = (self.headers[0].numbers(k, 1) for k in ("Rows", "Columns"))
        return len(self.headers), int(rows[0]) if rows is not None else 0, int(columns[0]) if columns is not None else 0

    @property
    def spacing_text(self) -> str:
        """Columns x rows x slices in mm, as people say it."""
        spacing = self.headers[0].numbers("PixelSpacing", 2)
        if spacing is None:
            return ""
        if self.layout.affine is None:
            return f"{spacing[1]:.3g} x {spacing[0]:.3g} mm"
        return f"{spacing[1]:.3g} x {spacing[0]:.3g} x {np.linalg.norm(self.layout.affine[:3, 0]):.3g} mm"


def sort_into_stacks(headers: Sequence[Header], broken: Sequence[Broken]) -> list[Stack]:
    """Stacks of all images: one a series, or more where a series mixes orientations, matrices or spacings."""
    by_series: dict[tuple[str, ...], list[Header]] = defaultdict(list)
    for header in headers:
        by_series[_series_key(header)].append(header)
    out: list[Stack] = []
    for key, members in by_series.items():
        out.extend(_stacks_of_series(key[0], members, [b for b in broken if b.series_uid == key[0] != ""]))
    return out


def _series_key(header: Header) -> tuple[str, ...]:
    key = tuple(header.text(k) for k in ("SeriesInstanceUID", "Modality", "SOPClassUID"))
    if key[0]:
        return key
    # Blanked UIDs: what else tells series apart.
    rest = ("StudyInstanceUID", "SeriesNumber", "SeriesDescription", "SeriesTime", "PatientID", "FrameOfReferenceUID")
    return (
        "",
        header.text("Modality"),
        header.text("SOPClassUID"),
        str(header.path.parent),
        *(header.text(k) for k in rest),
    )


def _stacks_of_series(uid: str, members: list[Header], spoilt: Sequence[Broken]) -> list[Stack]:
    if members[0].text("Modality") != "CT":
        kind = members[0].text("Modality") or "an unknown kind of image"
        return [Stack(uid, Layout(tuple(members), (f"It is {kind}, not CT.",)))]
    unusable = [(h, reason) for h in members if (reason := _unusable(h))]
    sound = [h for h in members if h not in {bad for bad, _ in unusable}]
    damage = [f"{h.name} {reason}." for h, reason in unusable] + [f"{b.path.name} {b.reason}." for b in spoilt]
    damage.extend(part for part in [missing_parts(members)] if part)
    scouts = [h for h in sound if "LOCALIZER" in h.text("ImageType").upper()]
    groups = _alike([h for h in sound if h not in scouts])
    layouts = [one for group in groups for one in without_duplicates(group)]
    if scouts:
        layouts.append(Layout(tuple(scouts), ("It is a localiser (a scout view), not a stack of slices.",)))
    if not layouts:
        layouts = [Layout(tuple(h for h, _ in unusable), ())]
    if damage:
        main = max(range(len(layouts)), key=lambda i: len(layouts[i].headers))
        layouts[main] = _damaged(layouts[main], damage)
    return [Stack(uid or _own_uid(one), _told_apart(one, layouts)) for one in layouts]


def _damaged(layout: Layout, damage: Sequence[str]) -> Layout:
    """With its broken files as the first problem; the gaps that they leave come after."""
    listed = " ".join(damage[:_FEW]) + (f" And {len(damage) - _FEW} more files." if len(damage) > _FEW else "")
    return replace(layout, problems=(listed, *layout.problems), affine=None, resample=None)


def _told_apart(layout: Layout, all_of_series: Sequence[Layout]) -> Layout:
    others = sum(len(o.headers) for o in all_of_series if o is not layout)
    if not others:
        return layout
    note = f"The series holds {others} more images of another orientation, matrix, spacing, kernel or acquisition."
    return replace(layout, notes=(*layout.notes, note))


def _unusable(header: Header) -> str:
    """Why this image can't be a slice of a CT volume, in words that follow its name."""
    if header.text("SOPClassUID") not in ("", _CT_IMAGE, *ENHANCED_CT):
        return "isn't a CT image but another kind of object"
    if header.pixels is None:
        return "holds no pixels"
    reason = required(header, NEEDED) or bad_geometry(header)
    reason = reason or unclear_pixels(header) or _bad_rescaling(header)
    if not reason and "\\" in header.text("SOPInstanceUID"):  # then nothing could refer to it
        reason = f"has several values as {tag_words('SOPInstanceUID')}"
    kind = header.text("RescaleType").upper()
    if not reason and kind not in _HU:
        reason = f"holds other values than HU: {tag_words('RescaleType')} is {kind}"
    return reason


def _bad_rescaling(header: Header) -> str:
    slope, intercept = (header.number(keyword, 0) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0:
        return f"has a {tag_words('RescaleSlope')} of 0"
    for keyword, value in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
        if abs(value) > _MOST_HU:
            return f"has an absurd {tag_words(keyword)} of {value:.6g}"
    return ""


def _alike(headers: Iterable[Header]) -> list[list[Header]]:
    """Groups of one matrix, frame of reference, kernel, stack, orientation and pixel spacing."""
    groups: list[tuple[tuple[str, ...], np.ndarray, list[Header]]] = []
    for header in headers:
        exact = tuple(header.text(k) for k in _TELLING)
        spacing = header.numbers("PixelSpacing", 2)
        if spacing is None:
            continue
        close = np.concatenate([*directions(header), spacing])
        for other, values, members in groups:
            if other == exact and np.abs(values - close).max() <= COSINE_TOL:
                members.append(header)
                break
        else:
            groups.append((exact, close, [header]))
    return [members for _, _, members in groups]


def _own_uid(layout: Layout) -> str:
    """A name for a series whose UID was blanked: from its slices' places and one slice's content."""
    digest = hashlib.sha256()
    for header in layout.headers:
        digest.update(header.text("ImagePositionPatient").encode())
    with open_binary(layout.headers[len(layout.headers) // 2].path) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return f"file-{digest.hexdigest()}"
