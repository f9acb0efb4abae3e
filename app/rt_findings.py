"""What an RT structure set would break of a planning system's limits, found on a summary of it.

The summary is made of a file, or of what is about to be written, so both are judged alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contourdesk.app.profiles import GENERIC, Profile

MAX_NAMED = 60


@dataclass(frozen=True)
class RtFinding:
    """One remark: `severity` is "error" or "warning"; `roi` names the structure, empty for the whole set."""

    severity: str
    roi: str
    text: str


@dataclass(frozen=True)
class ContourSummary:
    """A contour: its type, points, bytes of Contour Data, and whether it names an image."""

    kind: str
    points: int
    size: int
    has_image: bool


@dataclass(frozen=True)
class RoiSummary:
    """A structure and its contours."""

    name: str
    contours: Sequence[ContourSummary]


@dataclass(frozen=True)
class SetSummary:
    """A structure set: label, structures in order, and whether it lists the images that it was drawn on."""

    label: str
    rois: Sequence[RoiSummary]
    lists_images: bool


def profile_findings(summary: SetSummary, profile: Profile) -> list[RtFinding]:
    """What of a structure set a planning system would refuse or lose, errors first."""
    found = [*_set(summary, profile), *_names(summary, profile)]
    for roi in summary.rois:
        found += _roi(roi, profile)
    return sorted(found, key=lambda f: f.severity != "error")


def _remark(profile: Profile, limit: str, roi: str, text: str) -> RtFinding:
    source = profile.source.get(limit, "")
    unsure = " (unverified)" if "unverified" in source.casefold() else ""
    if profile.name != GENERIC:
        text = f"{profile.title}{unsure}: {text}"
    elif not text.startswith(roi or " "):  # names stay as they are
        text = text[0].upper() + text[1:]
    return RtFinding(profile.broken.get(limit, "warning"), roi, text)


def _set(summary: SetSummary, profile: Profile) -> Iterator[RtFinding]:
    if profile.label_length is not None and len(summary.label) > profile.label_length:
        text = f"the structure set label is longer than {profile.label_length} characters."
        yield _remark(profile, "label_length", "", text)
    if profile.image_list and not summary.lists_images:
        yield _remark(profile, "image_list", "", "the set doesn't list the images that it belongs to.")
    if profile.rois is not None and len(summary.rois) > profile.rois:
        yield _remark(profile, "rois", "", f"{len(summary.rois)} structures, and it takes {profile.rois}.")
    points = sum(c.points for roi in summary.rois for c in roi.contours)
    if profile.all_points is not None and points > profile.all_points:
        yield _remark(profile, "all_points", "", f"{points} points in all, and it takes {profile.all_points}.")


def _names(summary: SetSummary, profile: Profile) -> Iterator[RtFinding]:
    seen: dict[str, str] = {}
    for name in (roi.name for roi in summary.rois):
        shown = name if len(name) <= MAX_NAMED else f"{name[:MAX_NAMED]}..."
        if profile.name_length is not None and len(name) > profile.name_length:
            text = f'the name "{shown}" is longer than {profile.name_length} characters: it has {len(name)}.'
            yield _remark(profile, "name_length", name, text)
        bad = "".join(dict.fromkeys(c for c in name if c in profile.name_forbidden))
        if bad:
            yield _remark(profile, "name_forbidden", name, f'the name "{shown}" has {bad} in it.')
        if profile.name_ascii and not name.isascii():
            text = f'the name "{shown}" has letters beyond plain English ones.'
            yield _remark(profile, "name_ascii", name, text)
        key = name.strip().casefold()
        if key in seen and not profile.name_same_ignoring_case:
            text = f'two structures are called "{seen[key][:MAX_NAMED]}" and "{shown}".'
            yield _remark(profile, "name_same_ignoring_case", name, text)
        seen.setdefault(key, name)


def _roi(roi: RoiSummary, profile: Profile) -> Iterator[RtFinding]:
    contours = roi.contours
    if not contours and not profile.empty_rois:
        yield _remark(profile, "empty_rois", roi.name, f"{roi.name} has no contours.")
    for kind, number in Counter(c.kind for c in contours if c.kind not in profile.contour_types).items():
        text = f"{roi.name} has {_some(number, 'contour')} of type {kind or '(none)'}, which it doesn't take."
        yield _remark(profile, "contour_types", roi.name, text)
    if profile.contours_per_roi is not None and len(contours) > profile.contours_per_roi:
        text = f"{roi.name} has {len(contours)} contours, and it takes {profile.contours_per_roi}."
        yield _remark(profile, "contours_per_roi", roi.name, text)
    most = max((c.points for c in contours), default=0)
    if profile.contour_points is not None and most > profile.contour_points:
        text = f"{roi.name} has a contour of {most} points, and it takes {profile.contour_points}."
        yield _remark(profile, "contour_points", roi.name, text)
    largest = max((c.size for c in contours), default=0)
    if profile.contour_bytes is not None and largest > profile.contour_bytes:
        text = f"{roi.name} has a contour of {largest} bytes, and only {profile.contour_bytes} are safe."
        yield _remark(profile, "contour_bytes", roi.name, text)
    if profile.image_for_each_contour and (without := sum(not c.has_image for c in contours)):
        text = f"{roi.name} has {_some(without, 'contour')} that {'names' if without == 1 else 'name'} no image."
        yield _remark(profile, "image_for_each_contour", roi.name, text)


def _some(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
