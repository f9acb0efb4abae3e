"""Structure sets as odd as clinics have them: names, numbers, missing parts, transfer syntaxes, wrong contours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hands import load
from numpy.typing import NDArray
from phantoms import CtPhantom, Roi, make_ct, make_rtstruct
from pydicom import dcmread, dcmwrite
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from contourdesk.app.case import Case
from contourdesk.app.dicom_write import write_rtstruct
from contourdesk.app.errors import UserError
from contourdesk.app.rtstruct_read import read_rtstruct, read_rtstruct_with_notes
from contourdesk.app.structures import Structure

DATA = Tag(0x3006, 0x0050)


def ring(ct: CtPhantom, k: float, radius: float = 8.4, n: int = 40) -> NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    index = [np.full(n, k), 30.3 + radius * np.sin(turn), 25.2 + radius * np.cos(turn), np.ones(n)]
    return (np.column_stack(index) @ ct.affine.T)[:, :3]


def organ(ct: CtPhantom, name: str = "Organ", slices: Sequence[float] = (2, 3, 4), **more: object) -> Roi:
    contours = [("CLOSED_PLANAR", ring(ct, k), ct.image_uids[int(k)]) for k in slices]
    return Roi(name, contours, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> CtPhantom:
    return make_ct(tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def case(ct: CtPhantom) -> Case:
    return load(ct)


Read = Callable[..., tuple[list[Structure], tuple[str, ...]]]


@pytest.fixture
def read(ct: CtPhantom, case: Case, tmp_path: Path) -> Read:
    def read_(rois: Sequence[Roi], edit: Callable[[Dataset], None] | None = None) -> object:
        return read_rtstruct_with_notes(make_rtstruct(tmp_path / "rs.dcm", ct, rois, edit=edit), case)

    return read_  # type: ignore[return-value]


def contour_of(ds: Dataset, roi: int = 0, number: int = 0) -> Dataset:
    return ds.ROIContourSequence[roi].ContourSequence[number]


def put(contour: Dataset, text: bytes) -> None:
    """Contour data as these very bytes."""
    contour[DATA] = RawDataElement(DATA, "DS", len(text), text, 0, False, True)


# -- names and numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "name", "noted"),
    [
        ("x" * 80, "x" * 64, "80 characters"),
        ("GTV\tboost\x07", "GTV boost", "forbids"),
        ("  Cord  ", "Cord", ""),
        ("Drüse 腺", "Drüse 腺", ""),
        ("", "ROI 1", ""),
        ("A\\B", "A/B", "forbids"),
    ],
)
def test_names_become_usable(read: Read, ct: CtPhantom, told: str, name: str, noted: str) -> None:
    def edit(ds: Dataset) -> None:
        if not told.isascii():
            return
        text = told.encode() + b" " * (len(told) % 2)
        tag = Tag("ROIName")
        ds.StructureSetROISequence[0][tag] = RawDataElement(tag, "LO", len(text), text, 0, False, True)

    (one,), notes = read([organ(ct, told)], edit)
    assert one.name == name
    assert (noted in notes[0] and len(notes) == 1) if noted else notes == ()


def test_equal_names_stay_apart_and_short_enough(read: Read, ct: CtPhantom, case: Case, tmp_path: Path) -> None:
    rois = [organ(ct, n) for n in ("Lesion", "lesion ", "LESION", "y" * 64, "y" * 90)]
    structures, notes = read(rois)
    assert [s.name for s in structures] == [
        "Lesion",
        "lesion (2)",
        "LESION (2)"[:6] + " (3)",
        "y" * 64,
        "y" * 60 + " (2)",
    ]
    assert sum("renamed" in n for n in notes) == 3
    again = read_rtstruct(write_rtstruct(case, structures, tmp_path / "again.dcm"), case)
    assert [s.name for s in again] == [s.name for s in structures]


def test_a_number_given_twice_leaves_both_out(read: Read, ct: CtPhantom) -> None:
    rois = [organ(ct, "A", number=7), organ(ct, "B", number=7), organ(ct, "C", number=8)]
    structures, notes = read(rois)
    assert [s.name for s in structures] == ["C"]
    assert all(f'"{name}" shares the number 7' in note for name, note in zip("AB", notes, strict=True))


def test_a_structure_without_a_number_is_left_out(read: Read, ct: CtPhantom, case: Case, tmp_path: Path) -> None:
    def edit(ds: Dataset) -> None:
        del ds.StructureSetROISequence[0].ROINumber
        del ds.ROIContourSequence[0].ReferencedROINumber

    structures, notes = read([organ(ct, "A"), organ(ct, "B")], edit)
    assert [s.name for s in structures] == ["B"] and '"A" has no number' in notes[0]
    with pytest.raises(UserError, match='"A" has no number'):
        read_rtstruct(tmp_path / "rs.dcm", case)


def test_contours_in_two_parts_are_one_structure(read: Read, ct: CtPhantom) -> None:
    def edit(ds: Dataset) -> None:
        ds.ROIContourSequence[1].ReferencedROINumber = 1
        del ds.StructureSetROISequence[1]

    (one,), notes = read([organ(ct, slices=(2, 3)), organ(ct, slices=(4, 5))], edit)
    assert notes == () and len(one.contours or ()) == 4 and one.mask.box[0] == slice(2, 6)


def test_contours_that_no_structure_claims_are_told(read: Read, ct: CtPhantom) -> None:
    def edit(ds: Dataset) -> None:
        del ds.StructureSetROISequence[0]

    structures, notes = read([organ(ct, "A", number=5), organ(ct, "B", number=6)], edit)
    assert [s.name for s in structures] == ["B", "ROI 5"] and not structures[1].mask.is_empty
    assert notes == ('"ROI 5" is not named in the file; only its contours are there.',)


def test_a_hundred_structures(read: Read, ct: CtPhantom) -> None:
    rois = [organ(ct, f"Organ {n}", slices=(n % 8,), number=1000 - 3 * n) for n in range(100)]
    structures, notes = read(rois)
    assert notes == () and [s.name for s in structures] == [r.name for r in rois]
    assert [s.mask.box[0].start for s in structures] == [n % 8 for n in range(100)]


# -- missing parts -------------------------------------------------------------------------------------------------


def test_missing_parts(read: Read, ct: CtPhantom) -> None:
    def no_contours(ds: Dataset) -> None:
        del ds.ROIContourSequence

    def no_observations(ds: Dataset) -> None:
        del ds.RTROIObservationsSequence

    def empty(ds: Dataset) -> None:
        ds.ROIContourSequence[0].ContourSequence = []

    structures, notes = read([organ(ct, "A"), organ(ct, "B")], no_contours)
    assert [s.mask.is_empty for s in structures] == [True, True] and notes == ("rs.dcm holds no contours.",)
    (one,), notes = read([organ(ct)], no_observations)
    assert one.interpreted_type == "" and not one.mask.is_empty and notes == ()
    structures, notes = read([organ(ct, "A"), organ(ct, "B")], empty)
    assert [s.mask.is_empty for s in structures] == [True, False] and notes == ()


def test_a_set_without_structures_gives_none(read: Read) -> None:
    assert read([]) == ([], ())


# -- contours ------------------------------------------------------------------------------------------------------


def test_numbers_with_exponents_signs_and_blanks(read: Read, ct: CtPhantom) -> None:
    points = np.round(ring(ct, 3), 4)

    def edit(ds: Dataset) -> None:
        put(contour_of(ds), "\\".join(f" {v:+.7E}" for v in points.ravel()).encode() + b" ")
        put(contour_of(ds, 0, 1), "\\".join(f"{v:.14f}"[:16] for v in ring(ct, 4).ravel()).encode())

    (one,), notes = read([organ(ct, slices=(3, 4))], edit)
    assert notes == () and one.contours is not None
    assert one.contours[0].points_lps.tolist() == points.tolist()
    assert np.abs(one.contours[1].points_lps - ring(ct, 4)).max() < 1e-9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"1\\2\\3\\4", "of 4 numbers"),
        (b"1\\2\\nan", "wrong number"),
        (b"1\\2\\inf", "wrong number"),
        (b"1\\2\\1e999", "wrong number"),
        (b"1\\2\\", "wrong number"),
        (b"1\\2\\x", "wrong number"),
        (b"1\\2\\3 4", "wrong number"),
        (b"1\\2\\1e9", "1e+09 mm away"),
    ],
)
def test_a_wrong_contour_leaves_out_its_structure_and_no_other(
    read: Read, ct: CtPhantom, text: bytes, said: str
) -> None:
    structures, notes = read([organ(ct, "A"), organ(ct, "B")], lambda ds: put(contour_of(ds, 0, 1), text))
    assert [s.name for s in structures] == ["B"]
    assert len(notes) == 1 and notes[0].startswith('"A" has a') and said in notes[0]
    assert "number 2" in notes[0] or "away" in notes[0]


def test_contours_that_are_empty_untyped_or_miscounted_are_told(read: Read, ct: CtPhantom) -> None:
    def edit(ds: Dataset) -> None:
        put(contour_of(ds, 0, 0), b"")
        contour_of(ds, 0, 1).ContourGeometricType = ""
        contour_of(ds, 0, 2).NumberOfContourPoints = 7

    (one,), notes = read([organ(ct)], edit)
    assert len(one.contours or ()) == 2 and one.mask.box[0] == slice(3, 5)
    assert [n.split(" has ")[1] for n in notes] == [
        "1 contour without points, left out.",
        "1 contour of no stated kind, taken for closed.",
        "1 contour of another number of points than stated; the points count.",
    ]


def test_an_offset_of_its_own_is_refused_unless_nil(read: Read, ct: CtPhantom) -> None:
    def edit(ds: Dataset) -> None:
        contour_of(ds, 0).ContourOffsetVector = ["0", "0", "5"]
        contour_of(ds, 1).ContourOffsetVector = ["0", "0", "0"]

    structures, notes = read([organ(ct, "A"), organ(ct, "B")], edit)
    assert [s.name for s in structures] == ["B"] and "Contour Offset Vector" in notes[0]


def test_few_points_lines_and_unknown_kinds_are_kept_told_and_written_back(
    read: Read, ct: CtPhantom, case: Case, tmp_path: Path
) -> None:
    contours = [
        ("POINT", ring(ct, 3)[:1], ""),
        ("CLOSED_PLANAR", ring(ct, 3), ct.image_uids[3]),
        ("CLOSED_PLANAR", ring(ct, 3)[:1], ""),
        ("CLOSED_PLANAR", ring(ct, 3)[:2], ""),
        ("OPEN_PLANAR", ring(ct, 4), ct.image_uids[4]),
        ("OPEN_NONPLANAR", np.array([[0.0, 1, -40], [5, 1, -35], [5, 9, -30]]), ""),
    ]
    (one,), notes = read([Roi("Mixed", contours)])
    assert one.mask.box[0] == slice(3, 4)
    assert notes == (
        'Of fewer than three points, kept and not filled: 2 contours of "Mixed".',
        'Points or lines, kept and not filled: 3 contours of "Mixed" (OPEN_NONPLANAR, OPEN_PLANAR, POINT).',
    )
    source, written = (
        dcmread(p).ROIContourSequence[0].ContourSequence
        for p in (tmp_path / "rs.dcm", write_rtstruct(case, [one], tmp_path / "out.dcm"))
    )
    for a, b in zip(source, written, strict=True):
        assert (a.ContourGeometricType, a.NumberOfContourPoints) == (b.ContourGeometricType, b.NumberOfContourPoints)
        assert list(map(float, a.ContourData)) == list(map(float, b.ContourData))


def test_sagittal_contours_are_filled_and_told_and_mixed_ones_refused(
    read: Read, ct: CtPhantom, case: Case, tmp_path: Path
) -> None:
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    centre = (ct.affine @ [4.5, 30, 25, 1])[:3]
    sagittal = [
        ("CLOSED_PLANAR", centre + np.column_stack([np.full(60, x), 9 * np.cos(turn), 9 * np.sin(turn)]), "")
        for x in (-4, -2, 0, 2, 4)
    ]
    structures, notes = read([Roi("Sagittal", sagittal), Roi("Both", [*sagittal, *organ(ct).contours])])
    (one,) = structures
    assert "Both" in notes[0] and "neither in the planes" in notes[0] and "not loaded" in notes[0]
    assert "planes 2.00 mm apart that are not the images'" in notes[1]
    assert one.mask.count * case.volume.grid.voxel_ml == pytest.approx(np.pi * 0.9**2 * 1.0, rel=0.05)
    (back,) = read_rtstruct(write_rtstruct(case, [one], tmp_path / "out.dcm"), case)
    assert back.mask.equals(one.mask)
    assert [c.points_lps.tolist() for c in back.contours or ()] == [c.points_lps.tolist() for c in one.contours or ()]


def test_contours_on_finer_planes_than_the_slices(read: Read, ct: CtPhantom) -> None:
    contours = [("CLOSED_PLANAR", ring(ct, k / 3, 4 + k / 3), "") for k in range(6, 16)]
    (one,), notes = read([Roi("Fine", contours)])
    expected = [np.count_nonzero(np.hypot(*(np.indices((80, 64)) - np.array([30.3, 25.2])[:, None, None])) < 4 + k)
                for k in range(2, 6)]  # fmt: skip
    counts = one.mask.dense(ct.hu.shape).sum(axis=(1, 2))
    assert np.abs(counts[2:6] - expected).max() <= 3  # forty corners are not quite a circle
    assert notes == ('Between slices and not shown, as another plane is nearer to the slice: 6 contours of "Fine".',)
    assert len(one.contours or ()) == 10


# -- how the file is written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda s: str(s.name),
)
def test_every_transfer_syntax(ct: CtPhantom, case: Case, tmp_path: Path, syntax: str) -> None:
    plain = make_rtstruct(tmp_path / "plain.dcm", ct, [organ(ct, "Drüse"), Roi("Empty")])
    ds = dcmread(plain)
    ds.file_meta.TransferSyntaxUID = syntax
    for element in ds.iterall():  # decoded here, so that it is written anew in the other byte order
        assert element is not None
    dcmwrite(
        tmp_path / "rs", ds, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )  # fmt: skip
    one, empty = read_rtstruct(tmp_path / "rs", case)
    same = read_rtstruct(plain, case)[0]
    assert (one.name, empty.name) == ("Drüse", "Empty") and one.mask.equals(same.mask) and one.colour == same.colour
    assert [(c.points_lps.tolist(), c.image_uid) for c in one.contours or ()] == [
        (c.points_lps.tolist(), c.image_uid) for c in same.contours or ()
    ]


def test_without_the_preamble(ct: CtPhantom, case: Case, tmp_path: Path) -> None:
    ds = dcmread(make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct)]))
    bare = Dataset()
    bare.update(ds)
    dcmwrite(tmp_path / "bare.dcm", bare, implicit_vr=True, little_endian=True)
    assert [s.name for s in read_rtstruct(tmp_path / "bare.dcm", case)] == ["Organ"]


def test_contours_over_64_kb_that_lost_their_type(ct: CtPhantom, case: Case, tmp_path: Path) -> None:
    points = ring(ct, 3, n=4000)

    def edit(ds: Dataset) -> None:
        text = "\\".join(f"{v:.6f}" for v in points.ravel()).encode()
        text += b" " * (len(text) % 2)
        contour_of(ds)[DATA] = RawDataElement(DATA, "UN", len(text), text, 0, False, True)

    path = make_rtstruct(tmp_path / "rs.dcm", ct, [Roi("Big", [("CLOSED_PLANAR", points, "")])], edit=edit)
    assert b"\x06\x30\x50\x00UN" in path.read_bytes()
    (big,) = read_rtstruct(path, case)
    assert big.contours is not None and np.abs(big.contours[0].points_lps - points).max() < 1e-6
    assert not big.mask.is_empty


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8, 0.97])
def test_a_file_cut_short_is_refused(ct: CtPhantom, case: Case, tmp_path: Path, part: float) -> None:
    data = make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct)]).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(data[: int(part * len(data))])
    with pytest.raises(UserError, match=r"cut\.dcm"):
        read_rtstruct(tmp_path / "cut.dcm", case)


def test_zeros_at_the_end_are_no_damage(ct: CtPhantom, case: Case, tmp_path: Path) -> None:
    path = make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct)])
    path.write_bytes(path.read_bytes() + bytes(500))
    assert [s.name for s in read_rtstruct(path, case)] == ["Organ"]


def test_lengths_that_do_not_fit_are_refused(ct: CtPhantom, case: Case, tmp_path: Path) -> None:
    # One contour's data says that it is two bytes longer: it takes them from what follows.
    data = bytearray(make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct)]).read_bytes())
    at = data.index(b"\x06\x30\x50\x00DS") + 6
    data[at : at + 2] = (int.from_bytes(data[at : at + 2], "little") + 2).to_bytes(2, "little")
    (tmp_path / "bad.dcm").write_bytes(data)
    with pytest.raises(UserError, match=r"bad\.dcm can't be read"):
        read_rtstruct(tmp_path / "bad.dcm", case)


def test_a_name_in_another_character_set_than_said_is_told(ct: CtPhantom, case: Case, tmp_path: Path) -> None:
    path = make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct, "Drxse1")])
    path.write_bytes(path.read_bytes().replace(b"Drxse1", b"Dr\xfcse1"))
    (one,), notes = read_rtstruct_with_notes(path, case)
    assert one.name == "Dr\ufffdse1" and "character set" in notes[0]


@pytest.mark.parametrize("seed", range(3))
def test_any_damage_ends_in_structures_or_a_message(ct: CtPhantom, case: Case, tmp_path: Path, seed: int) -> None:
    data = make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct), Roi("Empty")]).read_bytes()
    rng, read_, path = np.random.default_rng(seed), 0, tmp_path / "damaged.dcm"
    for _ in range(60):
        damaged = np.frombuffer(data, np.uint8).copy()
        at = rng.integers(132, len(damaged), rng.choice([1, 3, 20]))
        damaged[at] = rng.integers(0, 256, len(at))
        path.write_bytes(damaged.tobytes()[: len(damaged) - int(rng.choice([0, 0, 0, 200]))])
        try:
            read_rtstruct_with_notes(path, case, any_reference=True)
            read_ += 1
        except UserError:
            pass
    assert 0 < read_ < 60
