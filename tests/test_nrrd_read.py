"""NRRD against pynrrd and SimpleITK, written by them and by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import phantom_hu

from contourdesk.app.errors import UserError
from contourdesk.app.nrrd_read import is_nrrd, nrrd_image, read_header, read_nrrd
from contourdesk.app.raw_image import RawImage

SHAPE = (9, 8, 7)  # x, y, z
HEADER = {
    "space": "left-posterior-superior",
    "space directions": np.diag([0.8, 1.3, 2.5]),
    "space origin": [-12.5, 3.25, 99],
    "kinds": ["domain"] * 3,
}


def read(path: Path) -> RawImage:
    return nrrd_image(*read_nrrd(path), path)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_encodings_and_kinds_as_pynrrd_writes_them(tmp_path: Path, encoding: str, kind: str) -> None:
    array = np.random.default_rng(2).integers(0, 100, SHAPE).astype(kind)
    nrrd.write(str(tmp_path / "a.nrrd"), array, {**HEADER, "encoding": encoding})
    raw = read(tmp_path / "a.nrrd")
    assert raw.array.dtype == np.dtype(kind) and np.array_equal(raw.array, array.T)


@pytest.mark.parametrize("kind", ["<i2", ">i2", ">f8"])
def test_byte_order(tmp_path: Path, kind: str) -> None:
    array = np.random.default_rng(2).integers(-500, 500, SHAPE).astype(kind)
    nrrd.write(str(tmp_path / "a.nrrd"), array, {**HEADER, "endian": "little" if kind[0] == "<" else "big"})
    raw = read(tmp_path / "a.nrrd")
    assert raw.array.dtype.isnative and np.array_equal(raw.array, array.T)


@pytest.mark.parametrize(
    ("space", "signs"),
    [("left-posterior-superior", (1, 1, 1)), ("RAS", (-1, -1, 1)), ("left-anterior-superior", (1, -1, 1))],
)
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_spaces_and_permuted_axes(tmp_path: Path, space: str, signs: tuple[int, ...], order: tuple[int, ...]) -> None:
    directions = (np.diag([0.8, -1.3, 2.5]) @ np.eye(3)[list(order)]).tolist()
    array = phantom_hu(SHAPE)
    nrrd.write(str(tmp_path / "a.nrrd"), array, {**HEADER, "space": space, "space directions": directions})
    raw = read(tmp_path / "a.nrrd")
    itk = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    for index in itertools.product((0, 8), (0, 7), (0, 6)):
        at = raw.grid.to_world(index[::-1])
        assert np.allclose(at, (np.array(HEADER["space origin"]) + np.array(index) @ directions) * signs, atol=1e-9)
        assert np.allclose(at, itk.TransformIndexToPhysicalPoint(index), atol=1e-6)
        assert raw.array[index[::-1]] == array[index] == itk[index]


def test_detached_header(tmp_path: Path) -> None:
    array = phantom_hu(SHAPE)
    nrrd.write(str(tmp_path / "a.nhdr"), array, {**HEADER, "encoding": "gzip"})
    (data,) = [p for p in tmp_path.iterdir() if p.suffix != ".nhdr"]
    assert np.array_equal(read(tmp_path / "a.nhdr").array, array.T)
    text = (tmp_path / "a.nhdr").read_text()
    data.rename(tmp_path / "b.raw.gz")
    with pytest.raises(UserError, match="isn't there"):
        read(tmp_path / "a.nhdr")
    for name, message in (
        ("../x.raw", "outside its folder"),
        ("a%03d.raw 1 9 1", "several files"),
        ("LIST", "several"),
    ):
        (tmp_path / "a.nhdr").write_text(text.replace(data.name, name))
        with pytest.raises(UserError, match=message):
            read(tmp_path / "a.nhdr")


def test_list_axes(tmp_path: Path) -> None:
    array = phantom_hu(SHAPE)[None]
    more = {
        "kinds": ["list", *HEADER["kinds"]],
        "space directions": np.vstack([[np.nan] * 3, np.diag([0.8, 1.3, 2.5])]),
    }
    nrrd.write(str(tmp_path / "a.nrrd"), array, {**HEADER, **more})
    assert np.array_equal(read(tmp_path / "a.nrrd").array, array[0].T)
    nrrd.write(str(tmp_path / "b.nrrd"), np.concatenate([array, array]), {**HEADER, **more})
    with pytest.raises(UserError, match="2 × 9 × 8 × 7"):
        read(tmp_path / "b.nrrd")
    last = {
        "kinds": [*HEADER["kinds"], "list"],
        "space directions": np.vstack([np.diag([0.8, 1.3, 2.5]), [np.nan] * 3]),
    }
    nrrd.write(str(tmp_path / "c.nrrd"), array[0][..., None], {**HEADER, **last})
    assert np.array_equal(read(tmp_path / "c.nrrd").array, array[0].T)


def by_hand(path: Path, text: str, data: bytes = bytes(2 * 3 * 4)) -> Path:
    path.write_bytes(text.encode() + b"\n" + data)
    return path


GOOD = """NRRD0005
# by hand
type: uchar
dimension: 3
sizes: 2 3 4
space: LPS
space directions: (1,0,0) (0,2,0) (0,0,3)
space origin: (1,2,3)
encoding: raw
a key:=its value: with colons
"""


def test_by_hand(tmp_path: Path) -> None:
    path = by_hand(tmp_path / "a", GOOD, bytes(range(24)))
    assert is_nrrd(path) and read_header(path).keys == {"a key": "its value: with colons"}
    assert np.array_equal(read(path).array.ravel(), np.arange(24)) and read(path).grid.spacing_mm == (3, 2, 1)
    path = by_hand(tmp_path / "b", GOOD.replace("\n", "\r\n") + "byte skip: 5\r\n\r", bytes(5) + bytes(range(24)))
    assert np.array_equal(read(path).array.ravel(), np.arange(24))
    path = by_hand(tmp_path / "c", GOOD + "byteskip: -1\n", b"anything" + bytes(range(24)))
    assert np.array_equal(read(path).array.ravel(), np.arange(24))
    path = by_hand(tmp_path / "d", GOOD.replace("raw", "hex"), bytes(range(24)).hex(" ").encode())
    assert np.array_equal(read(path).array.ravel(), np.arange(24))
    path = by_hand(tmp_path / "e", GOOD + 'space units: "um" "um" "um"\n')
    assert np.allclose(read(path).grid.spacing_mm, (0.003, 0.002, 0.001))


@pytest.mark.parametrize(("old", "new", "message"), [
    ("space: LPS", "space: scanner-xyz", "doesn't say where"), ("space: LPS\n", "", "doesn't say where"),
    ("space origin: (1,2,3)\n", "", "doesn't say where"), ("(0,2,0)", "(0.3,2,0)", "right angles"),
    ("(0,2,0)", "(0,0,0)", "makes no sense"), ("(0,2,0)", "(0,x,0)", "makes no sense"), ("(0,2,0) ", "", "no sense"),
    ("(1,2,3)", "(1,2)", "makes no sense"), ("sizes: 2 3 4", "sizes: 2 3 -4", "no sense"),
    ("sizes: 2 3 4", "sizes: 2 3", "no"),
    ("sizes: 2 3 4", "sizes: 2000000 3000000 4", "can't hold"), ("uchar", "block", "unknown kind"),
    ("uchar", "short", "order"), ("raw", "zip", "unknown"), ("raw", "gzip", "damaged"), ("raw", "bzip2", "damaged"),
    ("raw", "ascii", "numbers instead"), ("raw", "hex", "damaged"), ("sizes: 2 3 4", "sizes: 2 3 5", "ends after"),
    ("dimension: 3", "dimension: 3\ndimension: 3", "two lines"), ("NRRD0005", "NRRD0009", "begin"),
    ("# by hand", "x", "line"),
    ("encoding: raw", "encoding: raw\nline skip: -2", "backwards"),
    ("encoding: raw", "encoding: raw\nbyte skip: z", "damaged"),
])  # fmt: skip
def test_damaged_headers_end_in_words(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(by_hand(tmp_path / "a.nrrd", GOOD.replace(old, new)))


def test_real_files_against_pynrrd(shared_data: Path) -> None:
    files = sorted((shared_data / "dicom_seg").rglob("*.nrrd"))
    assert files
    for path in files:
        raw = read(path)
        array, header = nrrd.read(str(path))
        assert np.array_equal(raw.array, array.T) and np.allclose(raw.grid.origin_lps, header["space origin"])
        assert np.allclose(raw.grid.affine[:3, [2, 1, 0]], header["space directions"].T)
