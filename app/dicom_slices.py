"""How the slices of a series lie: sorted by position, checked, never averaged.

Pure functions on headers. Positions are compared along the normal, which is the row direction times the column
direction; the array's slice axis points along it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.dicom_headers import Header, tag_words

Float = NDArray[np.float64]

SPACING_TOL_MM = 0.01  # a slice may lie this far from where even spacing would put it
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

    `affine` (4, 4): index (slice, row, column) to LPS mm.
    """

    headers: tuple[Header, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    affine: Float | None = None


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
    problems = tuple(p for p in (_tilt(ordered, points), _unevenness(ordered, points)) if p)
    if problems:
        return Layout(tuple(ordered), problems, tuple(notes))
    step = (points[-1] - points[0]) / (len(points) - 1)
    return Layout(tuple(ordered), (), tuple(notes), _affine(ordered[0], step))


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


def _tilt(ordered: Sequence[Header], points: Float) -> str:
    """Whether the slices step along another direction than their normal (a tilted gantry)."""
    normal = np.cross(*directions(ordered[0]))
    whole = points[-1] - points[0]
    angle = float(np.degrees(np.arctan2(np.linalg.norm(np.cross(normal, whole)), abs(normal @ whole))))
    if angle > TILT_TOL_DEGREES:
        return (
            f"The slices are tilted: they step {angle:.1f} degrees away from their normal (a tilted gantry), "
            "so they don't fill a box."
        )
    steps = np.diff(points, axis=0)
    across = np.linalg.norm(steps - np.outer(steps @ normal, normal), axis=1)
    worst = int(np.argmax(across))
    limit = max(SPACING_TOL_MM, float(np.tan(np.radians(TILT_TOL_DEGREES))) * float(abs(steps[worst] @ normal)))
    if across[worst] > limit:
        return (
            f"The slices are shifted against each other: by {across[worst]:.2f} mm within their plane "
            f"from {ordered[worst].path.name} to {ordered[worst + 1].path.name}."
        )
    return ""


def _unevenness(ordered: Sequence[Header], points: Float) -> str:
    """Missing slices, named by where they would lie, or spacing that changes."""
    normal = np.cross(*directions(ordered[0]))
    at = points @ normal
    even = np.linspace(at[0], at[-1], len(at))
    if np.abs(at - even).max() <= SPACING_TOL_MM:
        return ""
    gaps = np.diff(at)
    usual = float(np.median(gaps))
    wide = np.flatnonzero(np.abs(gaps - usual) > 2 * SPACING_TOL_MM)
    parts = np.round(gaps[wide] / usual).astype(int)
    whole = bool(np.all(parts >= 2) and np.all(np.abs(gaps[wide] - parts * usual) <= 2 * SPACING_TOL_MM * parts))
    if len(wide) and whole and len(wide) <= max(1, len(gaps) // 4):
        missing = [
            points[i] + (points[i + 1] - points[i]) * n / count
            for i, count in zip(wide, parts, strict=True)
            for n in range(1, count)
        ]
        return _missing_words(missing, usual, normal)
    change = int(np.argmax(np.abs(np.diff(gaps)) > SPACING_TOL_MM)) + 1
    return (
        f"The slice distance isn't even: from {gaps.min():.3f} to {gaps.max():.3f} mm; it changes from "
        f"{gaps[change - 1]:.3f} to {gaps[change]:.3f} mm at {where(points[change], normal)} "
        f"({ordered[change].path.name})."
    )


def _missing_words(missing: Sequence[Float], usual: float, normal: Float) -> str:
    names = [where(p, normal) for p in missing]
    listed = ", ".join(names[:_MANY]) + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
    count = "1 slice is" if len(names) == 1 else f"{len(names)} slices are"
    return f"{count} missing, at {listed} (slice distance {usual:g} mm)."


def where(point: Float, normal: Float) -> str:
    """A slice's place in words: "z = -38.0 mm" where the slices lie square to an axis, else along the normal."""
    axis = int(np.argmax(np.abs(normal)))
    if abs(normal[axis]) > 1 - 1e-6:
        return f"{'xyz'[axis]} = {point[axis]:.1f} mm"
    return f"{float(point @ normal):.1f} mm along the normal"
