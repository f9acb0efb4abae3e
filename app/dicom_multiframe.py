"""Enhanced (multi-frame) CT: one header for each frame, so that frames are sorted and checked like single files.

What a frame has of its own (or shares with all others) lies in functional groups; it takes the place that the
attribute has in a single-frame file. Frames keep their number in the file, because references to them need it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.datadict import dictionary_VR, tag_for_keyword

from contourdesk.app.dicom_elements import Encoding, Place, Window, items, walk
from contourdesk.app.dicom_headers import DAMAGE, Broken, Header

ENHANCED_CT = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
# Functional group: attribute in it, and the attribute that says it in a single-frame file.
_GROUPS = {
    "PixelMeasuresSequence": (("PixelSpacing", "PixelSpacing"), ("SliceThickness", "SliceThickness")),
    "PlanePositionSequence": (("ImagePositionPatient", "ImagePositionPatient"),),
    "PlaneOrientationSequence": (("ImageOrientationPatient", "ImageOrientationPatient"),),
    "PixelValueTransformationSequence": (
        ("RescaleSlope", "RescaleSlope"),
        ("RescaleIntercept", "RescaleIntercept"),
        ("RescaleType", "RescaleType"),
    ),
    "FrameContentSequence": (
        ("StackID", "StackID"),
        ("TemporalPositionIndex", "TemporalPositionIndex"),
        ("FrameAcquisitionNumber", "AcquisitionNumber"),
    ),
    "CTImageFrameTypeSequence": (("FrameType", "ImageType"),),
    "CTReconstructionSequence": (("ConvolutionKernel", "ConvolutionKernel"),),
    "FrameVOILUTSequence": (("WindowCenter", "WindowCenter"), ("WindowWidth", "WindowWidth")),
}


def _tag(keyword: str) -> int:
    return int(tag_for_keyword(keyword) or 0)


_WANTED = {_tag(group): {_tag(a): (_tag(b), dictionary_VR(a).encode()) for a, b in to} for group, to in _GROUPS.items()}
# These would be a guess for a frame whose groups don't say them.
_NOT_FOR_ALL = frozenset(
    _tag(keyword)
    for group in list(_GROUPS)[:4]
    for keyword in (classic for _, classic in _GROUPS[group])
)  # fmt: skip

_Values = dict[int, tuple[bytes, bytes]]


def is_multiframe(header: Header) -> bool:
    """Whether a CT image's file holds frames."""
    if header.text("Modality") != "CT" or header.pixels is None:
        return False
    return header.text("SOPClassUID") in ENHANCED_CT or header.number("NumberOfFrames", 1) > 1


def split_frames(header: Header) -> list[Header] | Broken:
    """One header for each frame of a multi-frame file, or why it can't be used."""
    series, pixels = header.text("SeriesInstanceUID"), header.pixels
    if pixels is None:
        raise ValueError("not an image")
    count = int(header.number("NumberOfFrames", 0))
    try:
        with pixels.open(header.path) as stream:
            window = Window(stream, pixels.start)
            shared, frames = _functional_groups(window, pixels.dataset_start, pixels.encoding)
    except DAMAGE:
        return Broken(header.path, "has damaged functional groups", series)
    if not frames:
        return Broken(header.path, "is a multi-frame image that doesn't say where its frames lie", series)
    if len(frames) != count:
        return Broken(header.path, f"describes {len(frames)} frames where it holds {count}", series)
    common = {tag: value for tag, value in header.values.items() if tag not in _NOT_FOR_ALL} | shared
    return [
        Header(header.path, common | own, header.little, pixels, number) for number, own in enumerate(frames, start=1)
    ]


def missing_parts(headers: Sequence[Header]) -> str:
    """Which objects of a concatenation aren't there, as a sentence; empty when none is known to be missing."""
    there: dict[str, set[int]] = {}
    total: dict[str, int] = {}
    for header in headers:
        uid, number = header.text("ConcatenationUID"), header.number("InConcatenationNumber", 0)
        if uid:
            there.setdefault(uid, set()).add(int(number))
            total[uid] = max(total.get(uid, 0), int(header.number("InConcatenationTotalNumber", 0)))
    for uid, numbers in there.items():
        last = max(total[uid], *numbers)
        if last <= 10_000 and (missing := [str(n) for n in range(1, last + 1) if n not in numbers]):
            return f"Of the {last} files that its frames were spread over, number {', '.join(missing)} is missing."
    return ""


def _functional_groups(window: Window, at: int, encoding: Encoding) -> tuple[_Values, list[_Values]]:
    """What all frames share, and what each has of its own. Raises one of `DAMAGE`."""
    shared: _Values = {}
    frames: list[_Values] = []
    for place in walk(window, at, window.size, encoding):
        if place.tag == _SHARED:
            for begin, end in items(window, place, _inside(place, encoding)):
                shared.update(_group(window, begin, end, _inside(place, encoding)))
        elif place.tag == _PER_FRAME:
            inner = _inside(place, encoding)
            frames = [_group(window, begin, end, inner) for begin, end in items(window, place, inner)]
            break
    return shared, frames


def _group(window: Window, begin: int, end: int, encoding: Encoding) -> _Values:
    """The wanted attributes of one item of functional groups, by their tags in a single-frame file."""
    out: _Values = {}
    for place in walk(window, begin, end, encoding):
        wanted = _WANTED.get(place.tag)
        if wanted is None:
            continue
        inner = _inside(place, encoding)
        for first, last in items(window, place, inner):
            for leaf in walk(window, first, last, inner):
                if leaf.tag in wanted:
                    tag, vr = wanted[leaf.tag]
                    out[tag] = (vr if leaf.vr in (b"", b"UN") else leaf.vr, window.value(leaf))
    return out


def _inside(place: Place, encoding: Encoding) -> Encoding:
    """How a sequence's items are written."""
    return Encoding(False) if place.vr == b"UN" else encoding
