"""How records, structures and contours are written down: JSON for the journal, arrays for a save. No file access."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contour import Contour
from contourdesk.app.history import Edit, Header, HeaderStep, Index, MaskStep, PresenceStep, Step, pack, unpack
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.review import Record, Snapshot, now
from contourdesk.app.structures import Colour, Decision, Mask, Provenance, Structure

SCHEMA = 1
Arrays = dict[str, NDArray[Any]]


def record_to_json(record: Record) -> dict[str, Any]:
    """A record as the content of a line."""
    e = record.edit
    edit = {"tool": e.tool, "text": e.text, "person": e.person, "time": e.time, "steps": [_step(s) for s in e.steps]}
    head = {"revision": record.revision, "op": record.op, "time": record.time, "person": record.person}
    return {**head, "edit": edit}


def record_from_json(read: dict[str, Any]) -> Record:
    """Inverse of `record_to_json`. Raises KeyError, TypeError, ValueError for what it does not understand."""
    e = read["edit"]
    edit = Edit(e["tool"], e["text"], tuple(_read_step(s) for s in e["steps"]), e["person"], e["time"])
    return Record(read["op"], edit, read["revision"], read["time"], read["person"])


def header_to_json(h: Header) -> dict[str, Any]:
    """A structure's header as plain JSON."""
    return asdict(h)


def header_from_json(read: dict[str, Any]) -> Header:
    """Inverse of `header_to_json`; parts that a newer version added are left out. Raises KeyError, TypeError."""
    return Header(
        name=str(read["name"]),
        colour=_colour(read["colour"]),
        provenance=Provenance(**_known(Provenance, read["provenance"])),
        interpreted_type=str(read["interpreted_type"]),
        decision=Decision(**_known(Decision, read["decision"])),
        edited=bool(read["edited"]),
        group=str(read.get("group", "")),
        locked=bool(read.get("locked", False)),
        blind=str(read.get("blind", "")),
    )


def _known(kind: type, read: dict[str, Any]) -> dict[str, str]:
    return {k: str(v) for k, v in read.items() if k in kind.__dataclass_fields__}  # type: ignore[attr-defined]


def _colour(read: list[int]) -> Colour:
    red, green, blue = (int(c) for c in read)
    return red, green, blue


def _index(read: list[int]) -> Index:
    z, y, x = (int(n) for n in read)
    return z, y, x


def _text(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 1)).decode("ascii")


def _data(text: str) -> bytes:
    try:
        return zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError("damaged bits") from error


def _step(s: Step) -> dict[str, Any]:
    if isinstance(s, MaskStep):
        sides = {"before": _text(s.before), "after": _text(s.after)}
        return {"kind": "mask", "id": s.structure_id, "offset": s.offset, "shape": s.shape, **sides}
    if isinstance(s, HeaderStep):
        sides_ = {"before": header_to_json(s.before), "after": header_to_json(s.after)}
        dropped = _contours(tuple(c for _, c in s.dropped)) if s.dropped else None
        return {"kind": "header", "id": s.structure_id, **sides_, "dropped": dropped, "at": [i for i, _ in s.dropped]}
    mask = s.structure.mask
    return {
        "kind": "presence",
        "id": s.structure.id,
        "added": s.added,
        "index": s.index,
        "header": header_to_json(Header.of(s.structure)),
        "offset": mask.offset,
        "shape": mask.bits.shape,
        "bits": _text(pack(mask.bits)),
        "contours": _contours(s.structure.contours),
        "first": _mask(s.structure.first),
    }


def _read_step(read: dict[str, Any]) -> Step:
    if read["kind"] == "mask":
        place = (_index(read["offset"]), _index(read["shape"]))
        return MaskStep(read["id"], *place, _data(read["before"]), _data(read["after"]))
    if read["kind"] == "header":
        sides = (header_from_json(read["before"]), header_from_json(read["after"]))
        dropped = _read_contours(read["dropped"]) or ()
        at = read.get("at", range(len(dropped)))  # the first version dropped all contours with any edit
        return HeaderStep(read["id"], *sides, tuple(zip(map(int, at), dropped, strict=True)))
    if read["kind"] != "presence":
        raise ValueError(f"unknown step {read['kind']!r}")
    mask = Mask(_index(read["offset"]), unpack(_data(read["bits"]), _index(read["shape"])))
    structure = _structure(read["id"], header_from_json(read["header"]), mask, _read_contours(read["contours"]))
    structure = replace(structure, first=_read_mask(read.get("first")))
    return PresenceStep(structure, int(read["index"]), bool(read["added"]))


def _structure(id_: str, header: Header, mask: Mask, contours: tuple[Contour, ...] | None) -> Structure:
    """A structure put together from its parts."""
    bare = Structure(header.name, header.colour, mask, header.provenance, id=id_, contours=contours)
    return header.put(bare)


def _mask(mask: Mask | None) -> dict[str, Any] | None:
    if mask is None:
        return None
    return {"offset": mask.offset, "shape": mask.bits.shape, "bits": _text(pack(mask.bits))}


def _read_mask(read: dict[str, Any] | None) -> Mask | None:
    return None if read is None else Mask(_index(read["offset"]), unpack(_data(read["bits"]), _index(read["shape"])))


def _contours(contours: tuple[Contour, ...] | None) -> dict[str, Any] | None:
    if contours is None:
        return None
    points = np.concatenate([c.points_lps for c in contours] or [np.zeros((0, 3))])
    return {
        "points": _text(points.astype("<f8").tobytes()),
        "lengths": [len(c.points_lps) for c in contours],
        "kinds": [c.kind for c in contours],
        "images": [c.image_uid for c in contours],
    }


def _read_contours(read: dict[str, Any] | None) -> tuple[Contour, ...] | None:
    if read is None:
        return None
    points = np.frombuffer(_data(read["points"]), "<f8").reshape(-1, 3)
    return _split(points, read["lengths"], read["kinds"], read["images"])


def _split(points: Any, lengths: Any, kinds: Any, images: Any) -> tuple[Contour, ...]:
    """Contours from all their points (n, 3) and, for each, the number of points, the kind and the image's UID."""
    parts = np.split(points, np.cumsum(np.asarray(lengths, int))[:-1]) if len(lengths) else []
    return tuple(Contour(p, str(k), str(i)) for p, k, i in zip(parts, kinds, images, strict=True))


def structure_arrays(i: int, s: Structure) -> Arrays:
    """Masks (packed bits) and imported contours of structure number `i` of a save."""
    out: Arrays = {f"bits_{i}": np.frombuffer(pack(s.mask.bits), np.uint8)}
    if s.first is not None:
        out[f"first_{i}"] = np.frombuffer(pack(s.first.bits), np.uint8)
    if s.contours is not None:
        out[f"points_{i}"] = np.concatenate([c.points_lps for c in s.contours] or [np.zeros((0, 3))])
        out[f"lengths_{i}"] = np.array([len(c.points_lps) for c in s.contours], np.int64)
        out[f"kinds_{i}"] = np.array([c.kind for c in s.contours], dtype=np.str_)
        out[f"images_{i}"] = np.array([c.image_uid for c in s.contours], dtype=np.str_)
    return out


def pack_arrays(arrays: Arrays) -> Job[bytes]:
    """The content of an ``.npz`` file, made in small steps and quickly: saving goes on while someone draws."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for number, (name, array) in enumerate(arrays.items()):
            yield Progress(number, len(arrays), "Saving")
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def structure_to_json(s: Structure) -> dict[str, Any]:
    """What `structure_arrays` leaves out."""
    out = {"id": s.id, "header": header_to_json(Header.of(s)), "mask": _place(s.mask)}
    return out if s.first is None else {**out, "first": _place(s.first)}


def _place(mask: Mask) -> dict[str, Any]:
    return {"offset": mask.offset, "shape": mask.bits.shape}


def _saved_mask(place: dict[str, Any], bits: NDArray[Any]) -> Mask:
    return Mask(_index(place["offset"]), unpack(bits.tobytes(), _index(place["shape"])))


def structure_from_save(i: int, read: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Structure:
    """Inverse of both. Raises KeyError, TypeError, ValueError."""
    contours = None
    if f"points_{i}" in arrays:
        points, lengths, kinds, images = (arrays[f"{part}_{i}"] for part in ("points", "lengths", "kinds", "images"))
        contours = _split(points, lengths, kinds, images)
    mask = _saved_mask(read["mask"], arrays[f"bits_{i}"])
    structure = _structure(str(read["id"]), header_from_json(read["header"]), mask, contours)
    return replace(structure, first=_saved_mask(read["first"], arrays[f"first_{i}"]) if "first" in read else None)


def case_to_json(snapshot: Snapshot) -> dict[str, Any]:
    """Content of ``case.json``: all of a snapshot but masks and probabilities."""
    case, grid = snapshot.case, snapshot.structures.grid
    source = case.source
    return {
        "schema": SCHEMA,
        "software": software(),
        "saved_at": now(),
        "revision": snapshot.revision,
        "reviewer": snapshot.reviewer,
        "case": {
            "path": str(source.path.absolute()),
            **{key: getattr(source, key) for key in ("series_uid", "study_uid", "modality", "description", "date")},
            "patient_name": case.patient.name,
        },
        "resampled": None if source.resampled is None else source.resampled.to_json(),
        "grid": {"shape": grid.shape, "affine": grid.affine.tolist(), "frame": grid.frame_of_reference_uid},
        "structures": [structure_to_json(s) for s in snapshot.structures],
        "work": dict(snapshot.work),
    }


def software() -> str:
    """Name and version of this program."""
    try:
        return f"contourdesk {metadata.version('contourdesk')}"
    except metadata.PackageNotFoundError:
        return "contourdesk"
