"""Images and structures to NRRD: a plain image, and Slicer's .seg.nrrd with overlapping layers.

Read back before they count as written; the same structures give the same bytes.
"""

from __future__ import annotations

import gzip
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.anatomy import Code, anatomy
from contourdesk.app.case import Case
from contourdesk.app.errors import UserError
from contourdesk.app.files import proved
from contourdesk.app.geometry import Grid
from contourdesk.app.nrrd_read import nrrd_image, read_nrrd
from contourdesk.app.raw_image import checked_grid
from contourdesk.app.slicer_read import read_slicer
from contourdesk.app.structures import Mask, Structure, StructureSet

log = logging.getLogger(__name__)

SUFFIX = ".seg.nrrd"
_TYPES = {
    "u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "u4": "uint32", "i4": "int32", "u8": "uint64",
    "i8": "int64", "f4": "float", "f8": "double",
}  # fmt: skip
_STATUS = {
    "accepted": "completed",
    "accepted-edited": "completed",
    "rejected": "flagged",
    "unreviewed": "inprogress",
}
_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS = "Anatomic codes - DICOM master list"
_COMPRESSION = 6


def write_nrrd_image(array: NDArray[np.generic], grid: Grid, path: Path) -> Path:
    """Write an image (z, y, x) as gzip-compressed NRRD, and read it back.

    Raises
    ------
    UserError : sheared axes, it can't be written, or came out different; an older file there is intact.
    """
    checked_grid(grid.shape, grid.affine, path)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)

    def same(part: Path) -> bool:
        back = nrrd_image(*read_nrrd(part), part)
        equal = np.array_equal(back.array, array, equal_nan=array.dtype.kind == "f")
        return equal and back.grid.is_close(grid, 1e-6)

    _write(path, [*_image_header(array.dtype, grid, layers=1), ""], (plane.tobytes() for plane in array), same)
    return path


def write_slicer(case: Case, structures: Sequence[Structure], path: Path) -> Path:
    """Write structures as one of Slicer's segmentations, on the images' whole grid.

    Those that overlap go into layers of their own; names, colours, anatomy and decisions go along.

    Raises
    ------
    UserError : no structure, sheared axes, it can't be written, or came out different; an older file is intact.
    """
    if not structures:
        raise UserError("There is no structure to export.", "Accept structures first, or export all.")
    grid = case.volume.grid
    checked_grid(grid.shape, grid.affine, path)
    layers, places = _layers(structures, grid)
    lines = _image_header(layers[0].dtype, grid, len(layers))
    for number, (structure, (layer, value)) in enumerate(zip(structures, places, strict=True)):
        lines += _segment_lines(number, structure, layer, value)
    lines += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        "Segmentation_ConversionParameters:=",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
        "Segmentation_SourceRepresentation:=Binary labelmap",
    ]

    def same(part: Path) -> bool:
        blank = Case(case.patient, case.volume, case.source, StructureSet(grid))
        found, _ = read_slicer(part, blank)
        return len(found) == len(structures) and all(
            # Names that differ in case only get a number when they are read.
            a.name.startswith(b.name.strip()) and a.colour == tuple(b.colour) and a.mask.equals(b.mask)
            for a, b in zip(found, structures, strict=True)
        )

    # In the file the layers are the fastest axis.
    planes = (np.stack(planes, axis=-1).tobytes() for planes in zip(*layers, strict=True))
    _write(path, [*lines, ""], planes, same)
    log.info("wrote %d segments in %d layers", len(structures), len(layers))
    return path


def _image_header(dtype: np.dtype[np.generic], grid: Grid, layers: int) -> list[str]:
    """The format's own lines, exact to the last digit."""

    def vector(values: Iterable[float]) -> str:
        return "(" + ",".join(repr(float(v) + 0.0) for v in values) + ")"

    several = layers > 1
    directions = [vector(grid.affine[:3, axis]) for axis in (2, 1, 0)]
    return [
        "NRRD0004",
        f"type: {_TYPES[dtype.str[1:]]}",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(n) for n in (*([layers] if several else []), *grid.shape[::-1])),
        "space directions: " + " ".join([*(["none"] if several else []), *directions]),
        "kinds: " + " ".join([*(["list"] if several else []), "domain", "domain", "domain"]),
        "endian: little",
        "encoding: gzip",
        f"space origin: {vector(grid.origin_lps)}",
    ]


def _layers(structures: Sequence[Structure], grid: Grid) -> tuple[list[NDArray[np.generic]], list[tuple[int, int]]]:
    """Label maps (z, y, x) in which nothing overlaps, and for each structure its layer and value there."""
    kind = np.uint8 if len(structures) < 256 else np.uint16
    layers: list[NDArray[np.generic]] = []
    counts: list[int] = []
    places = []
    for structure in structures:
        box, bits = structure.mask.box, structure.mask.bits
        layer = next((i for i, labels in enumerate(layers) if not labels[box][bits].any()), len(layers))
        if layer == len(layers):
            layers.append(np.zeros(grid.shape, kind))
            counts.append(0)
        counts[layer] += 1
        layers[layer][box][bits] = counts[layer]
        places.append((layer, counts[layer]))
    return layers, places


def _segment_lines(number: int, structure: Structure, layer: int, value: int) -> list[str]:
    status = _STATUS.get(structure.decision.state, "inprogress")
    tags = f"Segmentation.Status:{status}|TerminologyEntry:{_terminology(structure)}|"
    fields = {
        "Color": " ".join(f"{v / 255:.6g}" for v in structure.colour),
        "ColorAutoGenerated": "0",
        "Extent": _extent(structure.mask),
        "ID": structure.id,
        "LabelValue": str(value),
        "Layer": str(layer),
        "Name": structure.name.strip().replace("\\", "\\\\").replace("\n", "\\n"),
        "NameAutoGenerated": "0",
        "Tags": tags,
    }
    return [f"Segment{number}_{key}:={text}" for key, text in fields.items()]


def _extent(mask: Mask) -> str:
    """First and last index along column, row and slice."""
    if mask.is_empty:
        return "0 -1 0 -1 0 -1"
    return " ".join(f"{s.start} {s.stop - 1}" for s in mask.box[::-1])


def _terminology(structure: Structure) -> str:
    def text(code: Code | None) -> str:
        return f"{code.scheme}^{code.value}^{code.meaning}" if code else "^^"

    what = anatomy(structure)
    return "~".join([_CONTEXT, text(what.category), text(what.type), text(what.side), _REGIONS, "^^", "^^"])


def _write(path: Path, lines: Sequence[str], chunks: Iterable[bytes], same: Callable[[Path], bool]) -> None:
    """Write beside `path`, compare, take its place."""
    with proved(path) as beside:
        with beside.open("wb") as raw:
            raw.write(("\n".join(lines) + "\n").encode("utf-8"))
            with gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as stream:
                for chunk in chunks:
                    stream.write(chunk)
            raw.flush()
            os.fsync(raw.fileno())
        if not same(beside):
            raise UserError(
                f"{path.name} was not written: read back, it came out different.",
                "This is a fault of Contourdesk; please report it with the log.",
            )
