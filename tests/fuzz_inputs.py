"""Small files of every kind that is read, and ways to spoil them. A number is enough to make one again.

Nothing here depends on when or where it runs, and nothing may change: the numbers of bad inputs that are kept in
test_fuzz.py would mean others. New ways to spoil inputs belong into a module of their own.
"""

from __future__ import annotations

import gzip
import itertools
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import enhanced_phantoms
import nibabel as nib
import numpy as np
import phantoms
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, RLELossless

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.jobs import run
from contourdesk.app.nrrd_write import write_nrrd_image, write_slicer
from contourdesk.app.seg_write import write_seg
from contourdesk.app.structures import Decision, Mask, Provenance, Structure

SHAPE = (5, 12, 10)
KINDS = ("ct", "ct_rle", "ct_jpeg2000", "enhanced", "zip", "rtstruct", "seg", "nifti", "nifti_gz", "nrrd", "seg_nrrd")
_ABSURD = (
    b"", b"0", b"-1", b"1e400", b"nan", b"inf", b"-0", b"65535", b"4294967295", b"1\\2\\3\\4\\5\\6\\7", b"\\\\", b"x",
    b"1.0000000000000000000000001", b"\x00\x00", b"\xff\xff", b"\xff\xff\xff\xff", b"1e-300\\1e300", b"9" * 70,
)  # fmt: skip


def make_bases(folder: Path) -> None:
    """Write one good input of each kind into a folder of its name."""
    numbers = itertools.count(1)
    for module in (phantoms, enhanced_phantoms):
        module.generate_uid = lambda: f"1.2.826.0.1.3680043.8.498.{10_000 + next(numbers)}"  # the same bytes each time
    hu = np.random.default_rng(1).integers(-1000, 1500, SHAPE).astype(np.int16)
    ct = phantoms.make_ct(folder / "ct", SHAPE, hu=hu)
    for kind, compress in (("ct_rle", _rle), ("ct_jpeg2000", _jpeg2000)):
        phantoms.make_ct(folder / kind, SHAPE, hu=hu, edit=lambda ds, _, compress=compress: compress(ds))
    enhanced_phantoms.make_enhanced_ct(folder / "enhanced" / "image.dcm", hu)
    (folder / "zip").mkdir()
    with zipfile.ZipFile(folder / "zip" / "ct.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in ct.files:
            archive.writestr(zipfile.ZipInfo(f"CT/{file.name}"), file.read_bytes(), zipfile.ZIP_DEFLATED)
    case = base_case(folder)
    structures = _structures(case)
    for kind in ("rtstruct", "seg", "nifti", "nifti_gz", "nrrd", "seg_nrrd"):
        (folder / kind).mkdir()
    square = np.array([[-28, -38], [-26, -38], [-26, -35], [-28, -35]], float)
    rois = [
        phantoms.Roi(
            name, [("CLOSED_PLANAR", np.column_stack([square + n, np.full(4, -50.0 + 3 * k)]), ct.image_uids[k])
                   for k in (1, 2, 3)],
        )
        for n, name in enumerate(("Heart", "Cord"))
    ]  # fmt: skip
    phantoms.make_rtstruct(folder / "rtstruct" / "set.dcm", ct, rois)
    write_seg(case, structures, folder / "seg" / "seg.dcm")
    affine = np.array([[-1.5, 0, 0, 20], [0, 1.25, 0, -30], [0, 0, 3, 40], [0, 0, 0, 1.0]])
    image = nib.Nifti1Image(hu.transpose(2, 1, 0), affine)
    nib.save(image, folder / "nifti" / "image.nii")
    (folder / "nifti_gz" / "image.nii.gz").write_bytes(gzip.compress(image.to_bytes(), mtime=0))
    write_nrrd_image(case.volume.array, case.volume.grid, folder / "nrrd" / "image.nrrd")
    write_slicer(case, structures, folder / "seg_nrrd" / "set.seg.nrrd")


def base_case(folder: Path) -> Case:
    """The images that structures are read onto."""
    return run(read_series(run(scan(folder / "ct"))[0]))


def _structures(case: Case) -> list[Structure]:
    out = []
    for n, name in enumerate(("Heart", "Cord")):
        bits = np.zeros(SHAPE, bool)
        bits[1:4, 3:8, 2 + n : 6 + n] = True
        made, decision = Provenance("reviewer"), Decision(time="2026-01-02T10:11:12+00:00")  # else now is written
        out.append(Structure(name, (200, 100, n), Mask.from_dense(bits), made, decision=decision, id=f"{n}"))
    return out


def _rle(ds: Dataset) -> None:
    ds.compress(RLELossless, generate_instance_uid=False)


def _jpeg2000(ds: Dataset) -> None:
    from imagecodecs import jpeg2k_encode

    pixels = np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns)
    ds.PixelData = encapsulate([jpeg2k_encode(pixels, codecformat="J2K", reversible=True, level=0)])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless


def spoil(bases: Path, number: int, into: Path) -> tuple[str, str]:
    """Write spoilt input number `number` into the empty folder `into`; returns its kind and what was done to it."""
    rng = np.random.default_rng([77, number])
    kind = KINDS[number % len(KINDS)]
    shutil.copytree(bases / kind, into, dirs_exist_ok=True)
    files = sorted(p for p in into.rglob("*") if p.is_file())
    path = files[rng.integers(len(files))]
    ways: list[Callable[[bytes, np.random.Generator], tuple[bytes, str]]] = [_bytes]
    if kind in ("ct", "ct_rle", "ct_jpeg2000", "enhanced", "rtstruct", "seg"):
        ways += [_tag, _tag, _tag_bytes]
    elif kind == "nifti":
        ways += [_nifti_field, _nifti_field]
    elif kind == "nifti_gz":
        ways = [_bytes, _inside_gzip]
    elif kind in ("nrrd", "seg_nrrd"):
        ways += [_nrrd_line, _nrrd_line]
    content, done = ways[rng.integers(len(ways))](path.read_bytes(), rng)
    path.write_bytes(content)
    return kind, f"{path.name}: {done}"


def _bytes(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Spoil bytes anywhere, more often near the beginning, where the headers are."""
    out = bytearray(data)
    at = int(rng.integers(len(out)) if rng.random() < 0.5 else rng.integers(min(len(out), 1500)))
    length = int(rng.integers(1, 65))
    way = int(rng.integers(7))
    if way == 0:
        return bytes(out[:at]), f"cut at {at}"
    if way == 1:
        out[at] ^= 1 << int(rng.integers(8))
        return bytes(out), f"bit flipped at {at}"
    if way == 2:
        out[at : at + length] = rng.bytes(len(out[at : at + length]))
        return bytes(out), f"{length} random bytes at {at}"
    if way == 3:
        out[at : at + length] = bytes([int(rng.choice([0, 255]))]) * len(out[at : at + length])
        return bytes(out), f"{length} equal bytes at {at}"
    if way == 4:
        part = out[at : at + 2 * (length // 2 + 1)]
        part = part[: len(part) // 2 * 2]
        part[0::2], part[1::2] = part[1::2], part[0::2]
        out[at : at + len(part)] = part
        return bytes(out), f"bytes swapped at {at}"
    if way == 5:
        del out[at : at + length]
        return bytes(out), f"{length} bytes taken out at {at}"
    out[at:at] = out[at : at + length]
    return bytes(out), f"{length} bytes doubled at {at}"


def _tag(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Take a DICOM element out, or give it an absurd value of the right length coding."""
    ds = dcmread(BytesIO(data))
    holders = list(_elements(ds))
    holder, tag = holders[rng.integers(len(holders))]
    name = f"{tag} {holder.get_item(tag).VR or ''}"
    if rng.random() < 0.35:
        del holder[tag]
        done = f"without {name}"
    else:
        raw = _ABSURD[rng.integers(len(_ABSURD))]
        raw += b" " * (len(raw) % 2)
        vr = holder[tag].VR
        if vr == "SQ":
            holder[tag].value = []
        else:
            from pydicom.dataelem import RawDataElement

            holder[tag] = RawDataElement(tag, vr, len(raw), raw, 0, False, True)
        done = f"{name} = {raw!r}"
    out = BytesIO()
    try:
        ds.save_as(out)
    except (ValueError, TypeError):  # pydicom won't write it so
        return _bytes(data, rng)
    return out.getvalue(), done


def _elements(ds: Dataset) -> Iterator[tuple[Dataset, int]]:
    for tag in list(ds.keys()):
        yield ds, tag
        if ds[tag].VR == "SQ":
            for item in ds[tag].value:
                yield from _elements(item)


def _tag_bytes(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Spoil the bytes of the numbers that geometry and values hang on."""
    wanted = [0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280103, 0x00280008, 0x00280002, 0x7FE00010]
    tag = wanted[rng.integers(len(wanted))]
    marker = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    at = data.find(marker)
    if at < 0:
        return _bytes(data, rng)
    out = bytearray(data)
    place = at + int(rng.integers(4, 12))
    out[place : place + 2] = rng.bytes(2)
    return bytes(out), f"tag {tag:08x} spoilt at {place}"


def _nifti_field(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    out = bytearray(data)
    if rng.random() < 0.5:
        at = int(rng.choice([76 + 4 * n for n in range(8)] + list(range(108, 120, 4)) + list(range(256, 328, 4))))
        value = float(rng.choice([0, -1, np.nan, np.inf, 1e30, -1e-30, 1e-3, 2, 3.5]))
        out[at : at + 4] = struct.pack("<f", value)
    else:
        at = int(rng.choice([0, *range(40, 56, 2), 70, 72, 74, 123, 252, 254]))
        value = int(rng.choice([0, 1, -1, 2, 4, 8, 16, 64, 512, 1024, 32767, -32768, int(rng.integers(-9999, 9999))]))
        out[at : at + 2] = struct.pack("<h", value)
    return bytes(out), f"header at {at} = {value}"


def _inside_gzip(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    way = _nifti_field if rng.random() < 0.6 else _bytes
    content, done = way(gzip.decompress(data), rng)
    return gzip.compress(content, mtime=0), f"inside: {done}"


def _nrrd_line(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    header, blank, rest = data.partition(b"\n\n")
    lines = header.split(b"\n")
    n = int(rng.integers(1, len(lines)))
    name, colon, value = lines[n].partition(b":")
    way = int(rng.integers(4))
    if way == 0:
        del lines[n]
    elif way == 1:
        lines[n] = name + colon + b" " + _ABSURD[rng.integers(len(_ABSURD))].replace(b"\\", b" ")
    elif way == 2:
        lines.insert(n, lines[int(rng.integers(1, len(lines)))])
    else:
        words = value.split(b" ")
        words[int(rng.integers(len(words)))] = [b"(nan,0,0)", b"-5", b"0", b"1e9", b"none", b"(1,2)"][rng.integers(6)]
        lines[n] = name + colon + b" ".join(words)
    return b"\n".join(lines) + blank + rest, f"line {n} ({name.decode('latin-1')}), way {way}"
