"""Contours as an RTSTRUCT file holds them: what to draw of a structure, and the bytes of a Contour Sequence."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from contourdesk.app.case import Case
from contourdesk.app.contour import Contour
from contourdesk.app.contours import ContourStyle, mask_to_contours
from contourdesk.app.contours_place import FILLED_KINDS, left_to_draw
from contourdesk.app.dicom_text import decimal_strings
from contourdesk.app.resample_masks import pieces_to_draw
from contourdesk.app.structures import Structure

CONTOUR_SEQUENCE = Tag(0x3006, 0x0040)
TOLERANCE_MM = 1e-4  # contours read back may differ by what the decimals lose
_XOR = "CLOSEDPLANAR_XOR"


@dataclass(frozen=True, eq=False)
class Drawn:
    """A contour to be written.

    `image` is the number of the image it refers to, None for none, `exact` whether all its decimals are kept. The
    contour's own `image_uid` goes before the number where it names an image that isn't among the case's.
    """

    contour: Contour
    image: int | None
    exact: bool


def drawn_contours(structure: Structure, case: Case, style: ContourStyle) -> list[Drawn]:
    """Imported contours as they came, then the mask where none of them stands for it, drawn in `style`.

    On a resampled case the mask is drawn on the original slices, whose images can be referred to.
    """
    uids, kept = case.source.image_uids, structure.contours or ()
    out = [Drawn(c, image, exact=True) for c, image in zip(kept, _images_of(kept, case), strict=True)]
    kinds = {c.kind for c in kept if c.kind in FILLED_KINDS}
    if kinds and style.holes == "xor":  # one ROI doesn't mix the two kinds
        style = replace(style, holes="keyhole")
    grid, how = case.volume.grid, case.source.resampled
    if how is None:
        new = mask_to_contours(left_to_draw(structure, grid, uids), grid, style)
        first = np.array([c.points_lps[0] for c in new]).reshape(-1, 3)
        images = np.rint(grid.to_index(first)[:, 0]).astype(int).tolist()
    else:
        new, images = [], []
        for piece in pieces_to_draw(structure, how, uids):
            new += mask_to_contours(piece.mask, piece.grid, style)
            images += [piece.plane] * (len(new) - len(images))
    if _XOR in kinds:
        new = [replace(c, kind=_XOR) for c in new]
    return out + [Drawn(c, image, exact=False) for c, image in zip(new, images, strict=True)]


def _images_of(contours: Sequence[Contour], case: Case) -> Iterator[int | None]:
    """Number of the image that each imported contour was drawn on, of the nearest one when it didn't say."""
    source = case.source
    numbers: dict[str, list[int]] = {}
    for k, uid in enumerate(source.image_uids):
        numbers.setdefault(uid, []).append(k)
    for contour in contours:
        if source.resampled is not None:
            at = source.resampled.planes.indexed([contour])[0].points_lps[:, 0]
        else:
            at = case.volume.grid.to_index(contour.points_lps)[:, 0]
        among = numbers.get(contour.image_uid)
        nearest = round(float(at.mean()))
        if among is not None:  # a multi-frame image has many slices
            yield min(among, key=lambda k: abs(k - nearest))
        elif contour.image_uid or not 0 <= nearest < len(source.image_uids) or np.abs(at - nearest).max() > 0.5:
            yield None
        else:
            yield nearest


def contour_sequence(drawn: Sequence[Drawn], case: Case) -> RawDataElement:
    """The Contour Sequence of a ROI, as bytes in implicit VR, little endian: as objects it would take minutes.

    It is called UN, which implicit VR doesn't write, because pydicom looks into what is called SQ.
    """
    source = case.source
    references: dict[int, bytes] = {}
    items = []
    for one, text in zip(drawn, _texts(drawn), strict=True):
        contour, parts = one.contour, []
        if one.image is not None:
            if one.image not in references:
                frame = source.image_frames[one.image] if source.image_frames else None
                references[one.image] = _reference(
                    source.image_class_uids[one.image], source.image_uids[one.image], frame
                )
            parts.append(references[one.image])
        elif contour.image_uid:  # on an image that isn't loaded: kept as it came
            parts.append(_reference(source.image_class_uids[0], contour.image_uid, None))
        parts.append(_element(0x3006, 0x0042, contour.kind.encode("ascii", "replace")))
        parts.append(_element(0x3006, 0x0046, str(len(contour.points_lps)).encode("ascii")))
        parts.append(_element(0x3006, 0x0050, text))
        items.append(_item(b"".join(parts)))
    value = b"".join(items)
    return RawDataElement(CONTOUR_SEQUENCE, "UN", len(value), value, 0, True, True)


def _texts(drawn: Sequence[Drawn]) -> list[bytes]:
    """Contour Data of each, imported ones first."""
    out: list[bytes] = []
    for exact in (True, False):
        points = [d.contour.points_lps for d in drawn if d.exact is exact]
        if points:
            out += decimal_strings(np.concatenate(points).ravel(), [p.size for p in points], exact=exact)
    return out


def _reference(class_uid: str, uid: str, frame: int | None) -> bytes:
    parts = [
        _element(0x0008, 0x1150, class_uid.encode("ascii"), b"\0"),
        _element(0x0008, 0x1155, uid.encode("ascii"), b"\0"),
    ]
    if frame is not None:
        parts.append(_element(0x0008, 0x1160, str(frame).encode("ascii")))
    return _element(0x3006, 0x0016, _item(b"".join(parts)))


def _element(group: int, number: int, value: bytes, pad: bytes = b" ") -> bytes:
    if len(value) % 2:
        value += pad
    return struct.pack("<HHL", group, number, len(value)) + value


def _item(value: bytes) -> bytes:
    return _element(0xFFFE, 0xE000, value)


def same_contours(wanted: Sequence[Drawn], found: Sequence[Contour]) -> bool:
    """Whether contours came back point for point, but for the decimals."""
    if len(wanted) != len(found) or any(
        d.contour.kind != c.kind or d.contour.points_lps.shape != c.points_lps.shape
        for d, c in zip(wanted, found, strict=True)
    ):
        return False
    if not wanted:
        return True
    a, b = (np.concatenate([c.points_lps for c in contours]) for contours in ([d.contour for d in wanted], found))
    return bool(np.abs(a - b).max() <= TOLERANCE_MM)
