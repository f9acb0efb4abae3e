"""How the slices of a series lie: sorted by position, checked, never averaged.

Pure functions on headers. Positions are compared along the normal, which is the row direction times the column
direction; the array's slice axis points along it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.dicom_headers import Header, tag_words
from contourdesk.app.planes import Planes
from contourdesk.app.resample import Resample, plan

Float = NDArray[np.float64]

SPACING_TOL_MM = 0.01  # a slice may lie this far from where even spacing would put it
SHIFT_TOL_MM = 0.05  # and, of slices to be resampled, this far from a straight line
COSINE_TOL = 1e-4  # directions closer than this are one direction
TILT_TOL_DEGREES = 0.1
NEEDED = (
    ("ImagePositionPatient", 3),
    ("ImageOrientationPatient", 6),
    ("PixelSpacing", 2),
    ("Rows", 1),
    ("Columns", 1),
    ("RescaleSlope", 1),
    ("RescaleIntercept", 1),
    ("BitsAllocated", 1),
)
_MANY = 5


@dataclass(frozen=True, eq=False)
class Layout:
    """Slices in array order, what is wrong with them, and the affine when nothing is.

    `affine` (4, 4): index (slice, row, column) to LPS mm. `resample` is set when the slices can't be used as they lie,
    but resampling them to an even grid would solve all that is wrong.
    """

    headers: tuple[Header, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    affine: Float | None = None
    resample: Resample | None = None


def position(header: Header) -> Float:
    """(3,) LPS mm of the centre of the first voxel."""
    return _needed(header, "ImagePositionPatient", 3)


def directions(header: Header) -> tuple[Float, Float]:
    """Unit vectors along a row (columns count up) and down a column (rows count up)."""
    cosines = _needed(header, "ImageOrientationPatient", 6)
    return cosines[:3] / np.linalg.norm(cosines[:3]), cosines[3:] / np.linalg.norm(cosines[3:])


def _needed(header: Header, keyword: str, count: int) -> Float:
    value = header.numbers(keyword, count)
    if value is None:
        raise ValueError(f"{header.path.name} has no usable {tag_words(keyword)}")
    return value


def bad_geometry(header: Header) -> str:
    """Why a single image's geometry makes no sense, in words that follow its name; empty when it does."""
    cosines, spacing = _needed(header, "ImageOrientationPatient", 6), _needed(header, "PixelSpacing", 2)
    lengths = np.linalg.norm(cosines.reshape(2, 3), axis=1)
    if np.abs(lengths - 1).max() > 1e-2 or abs(float(cosines[:3] @ cosines[3:])) > 1e-2:
        return f"has directions that aren't at right angles in {tag_words('ImageOrientationPatient')}"
    if (spacing <= 0).any():
        return f"has a {tag_words('PixelSpacing')} that isn't positive"
    return ""


def along_normal(headers: Sequence[Header]) -> Float:
    """(n,) mm: each position along the first header's normal."""
    normal = np.cross(*directions(headers[0]))
    return np.array([position(h) @ normal for h in headers])


def lay_out(headers: Sequence[Header], notes: Sequence[str] = ()) -> Layout:
    """Sort slices of one orientation, matrix and pixel spacing, and check that they fill a box evenly.

    Parameters
    ----------
    headers : at least one, each with all of `NEEDED`; no two at one position.
    """
    order = np.argsort(along_normal(headers), kind="stable")
    ordered = [headers[i] for i in order]
    if len(ordered) == 1:
        return _one_slice(ordered[0], notes)
    points = np.array([position(h) for h in ordered])
    tilt, shifted = _tilt(ordered, points), _shift(ordered, points)
    problems = [p for p in (tilt.problem, shifted, _unevenness(ordered, points)) if p]
    if not problems:
        step = (points[-1] - points[0]) / (len(points) - 1)
        return Layout(tuple(ordered), (), tuple(notes), _affine(ordered[0], step))
    how = None if shifted else _resample(ordered[0], points, tilt.degrees)
    if isinstance(how, str):
        problems.append(how)
        how = None
    return Layout(tuple(ordered), tuple(problems), tuple(notes), resample=how)


def _resample(first: Header, points: Float, tilt_degrees: float) -> Resample | str:
    """What resampling would do, or why it would not do."""
    row_mm, column_mm = (float(v) for v in _needed(first, "PixelSpacing", 2))
    rows, columns = (int(_needed(first, keyword, 1)[0]) for keyword in ("Rows", "Columns"))
    planes = Planes(points, *directions(first), (row_mm, column_mm), (rows, columns))
    missing = _missing(points, planes.normal)
    names = [where(p, planes.normal) for p in missing] or _distances(points, planes.normal)
    return plan(planes, tilt_degrees, len(missing), tuple(names))


def _affine(first: Header, step: Float) -> Float:
    along_row, down_column = directions(first)
    row_mm, column_mm = _needed(first, "PixelSpacing", 2)  # DICOM's order: distance between rows, then columns
    affine = np.eye(4)
    affine[:3] = np.column_stack([step, down_column * row_mm, along_row * column_mm, position(first)])
    return affine


def _one_slice(header: Header, notes: Sequence[str]) -> Layout:
    thickness = header.numbers("SliceThickness", 1)
    if thickness is None or thickness[0] <= 0:
        return Layout((header,), (f"{header.path.name} is a single slice and lacks {tag_words('SliceThickness')}.",))
    step = np.cross(*directions(header)) * thickness[0]
    note = f"Only one slice: its thickness, {thickness[0]:g} mm, is taken as the slice distance."
    return Layout((header,), (), (*notes, note), _affine(header, step))


@dataclass(frozen=True)
class _Tilt:
    degrees: float = 0.0  # 0 when too small to matter
    problem: str = ""


def _tilt(ordered: Sequence[Header], points: Float) -> _Tilt:
    """Whether the slices step along another direction than their normal (a tilted gantry)."""
    normal = np.cross(*directions(ordered[0]))
    # Of the steps' usual direction: one shifted slice makes no tilt.
    slope = np.median(_slopes(points, normal), axis=0)
    angle = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    if angle <= TILT_TOL_DEGREES:
        return _Tilt()
    return _Tilt(
        angle,
        f"The slices are tilted: they step {angle:.1f} degrees away from their normal (a tilted gantry), "
        "so they don't fill a box.",
    )


def _slopes(points: Float, normal: Float) -> Float:
    """(n - 1, 3) how far each step goes within the slices' plane, for each mm along the normal."""
    steps = np.diff(points, axis=0)
    along = steps @ normal
    return np.asarray((steps - np.outer(along, normal)) / along[:, None])


def _shift(ordered: Sequence[Header], points: Float) -> str:
    """Whether the slices are off a straight line, within their planes."""
    normal = np.cross(*directions(ordered[0]))
    slopes = _slopes(points, normal)
    line = np.median(slopes, axis=0)
    gaps = np.diff(points @ normal)
    tilted = np.degrees(np.arctan(np.linalg.norm(line))) > TILT_TOL_DEGREES
    across = np.linalg.norm(slopes - line, axis=1) * gaps
    limits = np.maximum(SHIFT_TOL_MM if tilted else SPACING_TOL_MM, np.tan(np.radians(TILT_TOL_DEGREES)) * gaps)
    worst = int(np.argmax(across - limits))
    if across[worst] <= limits[worst]:
        return ""
    return (
        f"The slices are shifted against each other: by {across[worst]:.2f} mm within their plane "
        f"from {ordered[worst].path.name} to {ordered[worst + 1].path.name}."
    )


def _unevenness(ordered: Sequence[Header], points: Float) -> str:
    """Missing slices, named by where they would lie, or spacing that changes."""
    normal = np.cross(*directions(ordered[0]))
    at = points @ normal
    even = np.linspace(at[0], at[-1], len(at))
    if np.abs(at - even).max() <= SPACING_TOL_MM:
        return ""
    gaps = np.diff(at)
    missing = _missing(points, normal)
    if missing:
        return _missing_words(missing, float(np.median(gaps)), normal)
    change = int(np.argmax(np.abs(np.diff(gaps)) > SPACING_TOL_MM)) + 1
    return (
        f"The slice distance isn't even: from {gaps.min():.3f} to {gaps.max():.3f} mm; it changes from "
        f"{gaps[change - 1]:.3f} to {gaps[change]:.3f} mm at {where(points[change], normal)} "
        f"({ordered[change].path.name})."
    )


def _missing(points: Float, normal: Float) -> list[Float]:
    """Where slices are missing: gaps of whole multiples of the usual distance, when those are few."""
    gaps = np.diff(points @ normal)
    usual = float(np.median(gaps))
    wide = np.flatnonzero(np.abs(gaps - usual) > 2 * SPACING_TOL_MM)
    parts = np.round(gaps[wide] / usual).astype(int)
    whole = bool(np.all(parts >= 2) and np.all(np.abs(gaps[wide] - parts * usual) <= 2 * SPACING_TOL_MM * parts))
    if not whole or len(wide) > max(1, len(gaps) // 4):
        return []
    return [
        points[i] + (points[i + 1] - points[i]) * n / count
        for i, count in zip(wide, parts, strict=True)
        for n in range(1, count)
    ]


def _missing_words(missing: Sequence[Float], usual: float, normal: Float) -> str:
    names = [where(p, normal) for p in missing]
    listed = ", ".join(names[:_MANY]) + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
    count = "1 slice is" if len(names) == 1 else f"{len(names)} slices are"
    return f"{count} missing, at {listed} (slice distance {usual:g} mm)."


def _distances(points: Float, normal: Float) -> list[str]:
    """Where which slice distance holds, in words; nothing when it is even."""
    gaps = np.diff(points @ normal)
    if np.ptp(gaps) <= 2 * SPACING_TOL_MM:
        return []
    begins = [0, *(int(i) + 1 for i in np.flatnonzero(np.abs(np.diff(gaps)) > 2 * SPACING_TOL_MM)), len(gaps)]
    return [f"{gaps[a]:.2f} mm {_from_to(points[a], points[b], normal)}" for a, b in pairwise(begins)]


def _from_to(one: Float, two: Float, normal: Float) -> str:
    first, second = where(one, normal), where(two, normal)
    return f"from {first} to {second}".replace(" along the normal", "", 1)


def where(point: Float, normal: Float) -> str:
    """A slice's place in words: "z = -38.0 mm" where the slices lie square to an axis, else along the normal."""
    axis = int(np.argmax(np.abs(normal)))
    if abs(normal[axis]) > 1 - 1e-6:
        return f"{'xyz'[axis]} = {point[axis]:.1f} mm"
    return f"{float(point @ normal):.1f} mm along the normal"
