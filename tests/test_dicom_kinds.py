"""What clinics' CT files differ in: position of the patient, numbers, padding, kernels, alphabets, ways of writing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_steps import by_simpleitk, error_of, load, only, series_of, stored_as
from phantoms import make_ct, phantom_hu
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from contourdesk.app.dicom_read import read_series
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run

# Patient Position, and the directions of rows and columns that go with it.
POSITIONS = {
    "HFS": (1, 0, 0, 0, 1, 0),
    "HFP": (-1, 0, 0, 0, -1, 0),
    "FFS": (-1, 0, 0, 0, 1, 0),
    "FFP": (1, 0, 0, 0, -1, 0),
    "HFDR": (0, -1, 0, 1, 0, 0),
    "HFDL": (0, 1, 0, -1, 0, 0),
    "FFDR": (0, 1, 0, 1, 0, 0),
    "FFDL": (0, -1, 0, -1, 0, 0),
}


@pytest.mark.parametrize("name", POSITIONS)
@pytest.mark.parametrize("towards", [1, -1])
def test_any_patient_position(tmp_path: Path, name: str, towards: int) -> None:
    """Rows and columns differ in number and spacing; slices are written along the normal and against it."""
    cosines = np.array(POSITIONS[name], float)
    step = 2.5 * towards * np.cross(cosines[:3], cosines[3:])

    def edit(ds: Dataset, k: int) -> None:
        ds.PatientPosition, ds.SliceLocation = name, 7 - k

    ct = make_ct(tmp_path, (6, 20, 28), (2.5, 1.5, 0.7), POSITIONS[name], step_lps=step, edit=edit)
    files = ct.files[::towards]
    case, (values, affine) = load(tmp_path), by_simpleitk(files)
    assert np.array_equal(case.volume.array, ct.hu[::towards]) and np.array_equal(case.volume.array, values)
    assert np.abs(case.volume.grid.affine - affine).max() < 1e-3
    assert case.source.image_uids == tuple(ct.image_uids[::towards])


# --- numbers


@pytest.mark.parametrize(("signed", "value", "written"), [(True, -2000, "SS"), (True, 63536, "US"),
                                                         (False, 63536, "US"), (False, -2000, "SS")])  # fmt: skip
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_padding_value(tmp_path: Path, signed: bool, value: int, written: str, syntax: str) -> None:
    """-2000 outside a circle, written as the pixels are or not."""
    y, x = np.mgrid[0:40, 0:48]
    outside = (y - 20) ** 2 + (x - 24) ** 2 > 300

    def edit(ds: Dataset, k: int) -> None:
        stored = np.frombuffer(ds.PixelData, "<i2").reshape(40, 48).copy()
        stored[outside] = -2000
        ds.PixelRepresentation, ds.PixelData = int(signed), stored.tobytes()
        ds.add_new("PixelPaddingValue", written, value)
        ds.file_meta.TransferSyntaxUID = syntax

    make_ct(tmp_path, (3, 40, 48), edit=edit)
    volume = load(tmp_path).volume
    expected = -3024 if signed else 63536 - 1024
    assert volume.padding == volume.padding_limit == expected
    assert np.array_equal(volume.array == volume.padding, np.broadcast_to(outside, (3, 40, 48)))


def test_padding_range(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.PixelPaddingValue, ds.PixelPaddingRangeLimit = -2000, -1500

    make_ct(tmp_path, (3, 8, 8), edit=edit)
    volume = load(tmp_path).volume
    assert (volume.padding, volume.padding_limit) == (-3024, -2524)


def test_padding_that_differs_is_told_of(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.PixelPaddingValue, ds.RescaleIntercept = -2000, str(-1024 + k)

    make_ct(tmp_path, (3, 8, 8), edit=edit)
    case = load(tmp_path)
    assert case.volume.padding is None and "padding value differs" in case.source.notes[0]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (10, 12)])
def test_bits_beside_those_that_count(tmp_path: Path, signed: bool, stored: int, high: int) -> None:
    rng = np.random.default_rng(1)
    low = -(2 ** (stored - 1)) if signed else 0
    truth = rng.integers(low, low + 2**stored, (3, 16, 18))
    shift = high + 1 - stored
    dirt = rng.integers(0, 2**16, truth.shape) & ~(((1 << stored) - 1) << shift)
    raw = ((truth & ((1 << stored) - 1)) << shift | dirt).astype("<u2")

    def edit(ds: Dataset, k: int) -> None:
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = stored, high, int(signed)
        ds.PixelData = raw[k].tobytes()

    make_ct(tmp_path, (3, 16, 18), edit=edit)
    assert np.array_equal(load(tmp_path).volume.array, truth - 1024)


@pytest.mark.parametrize("signed", [False, True])
def test_thirty_two_bits(tmp_path: Path, signed: bool) -> None:
    kind = "<i4" if signed else "<u4"
    values = (phantom_hu((3, 16, 18)).astype(np.int64) + 1024).astype(kind)

    def edit(ds: Dataset, k: int) -> None:
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 32, 32, 31, int(signed)
        ds.PixelData = (values[k] + (100_000 if k == 2 and (tmp_path / "big").exists() else 0)).astype(kind).tobytes()

    make_ct(tmp_path / "a", (3, 16, 18), edit=edit)
    volume = load(tmp_path / "a").volume
    assert volume.array.dtype == np.int16 and np.array_equal(volume.array, values.astype(int) - 1024)
    (tmp_path / "big").mkdir()
    make_ct(tmp_path / "b", (3, 16, 18), edit=edit)
    volume = load(tmp_path / "b").volume
    expected = values.astype(float) - 1024
    expected[2] += 100_000
    assert volume.array.dtype == np.float32 and np.array_equal(volume.array, expected)


def test_negative_slope(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = "-2", "3000"

    ct = make_ct(tmp_path, (3, 16, 18), edit=edit)
    assert np.array_equal(load(tmp_path).volume.array, (ct.hu.astype(int) + 1024) * -2 + 3000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"RescaleSlope": "0"}, "has a Rescale Slope (0028,1053) of 0"),
        ({"RescaleSlope": "1e400"}, "has an unusable Rescale Slope (0028,1053)"),
        ({"RescaleType": "EDW"}, "holds other values than HU"),
        ({"BitsAllocated": 64, "PixelData": bytes(512)}, "64 bits for a pixel"),
        ({"BitsStored": 20}, "make no sense"),
        ({"SamplesPerPixel": 3, "PixelData": bytes(384)}, "make no sense: 3 samples"),
        ({"Rows": 0, "PixelData": b""}, "slice000.dcm"),
    ],
)
def test_numbers_that_make_no_sense(tmp_path: Path, change: dict[str, object], words: str) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.update(change)

    make_ct(tmp_path, (2, 8, 8), edit=edit)
    text = error_of(tmp_path)
    assert words in text and "slice000.dcm" in text


def test_floating_point_pixels(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        del ds.PixelData
        ds.BitsAllocated, ds.FloatPixelData = 32, np.zeros(64, "<f4").tobytes()

    make_ct(tmp_path, (2, 8, 8), edit=edit)
    assert "slice000.dcm holds floating-point pixels" in error_of(tmp_path)


# --- what is in one series and doesn't belong together


def test_two_kernels_under_one_uid(tmp_path: Path) -> None:
    uids = {"series_uid": generate_uid(), "study_uid": generate_uid(), "frame_of_reference_uid": generate_uid()}
    soft, sharp = phantom_hu((6, 9, 8)), (phantom_hu((6, 9, 8)) + 7).astype(np.int16)
    for name, hu in (("B30f", soft), ("B70f", sharp)):
        make_ct(
            tmp_path / name, (6, 9, 8), hu=hu, **uids,
            edit=lambda ds, k, name=name: setattr(ds, "ConvolutionKernel", name),
        )  # fmt: skip
    found = series_of(tmp_path)
    assert [s.slices for s in found] == [6, 6] and all(s.usable and "kernel" in s.notes[0] for s in found)
    arrays = [run(read_series(s)).volume.array for s in found]
    assert any(np.array_equal(a, soft) for a in arrays) and any(np.array_equal(a, sharp) for a in arrays)


def test_copies_compressed_another_way(tmp_path: Path) -> None:
    ct = make_ct(tmp_path, (4, 40, 48))
    ds = pydicom.dcmread(ct.files[2])
    ds.compress(pydicom.uid.RLELossless)
    ds.save_as(tmp_path / "copy.dcm")
    info = only(tmp_path)
    assert info.slices == 4 and info.notes[0].startswith("1 duplicate slice was left out")
    assert np.array_equal(run(read_series(info)).volume.array, ct.hu)


# --- alphabets


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg Weiß"),
        ("ISO_IR 144", "Люксембург^Иван"),
        ("ISO_IR 192", "山田^太郎"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_alphabets(tmp_path: Path, character_set: str | list[str], name: str, syntax: str) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.SpecificCharacterSet, ds.PatientName = character_set, name
        ds.SeriesDescription = name.split("=")[-1].split("^")[0]
        ds.file_meta.TransferSyntaxUID = syntax

    ct = make_ct(tmp_path, (2, 8, 8), edit=edit)
    info = only(tmp_path)
    expected = pydicom.dcmread(ct.files[0])
    assert info.patient_name == name == str(expected.PatientName)
    assert info.description == expected.SeriesDescription == name.split("=")[-1].split("^")[0]
    case = run(read_series(info))
    assert case.patient.name == name and case.source.header is not None
    assert case.source.header.PatientName == name and case.source.header.SpecificCharacterSet == character_set


@pytest.mark.parametrize("character_set", [b" " * 10, b"ISO_IR 999", b"nonsense  ", b"ISO_IR 87 ", b"ISO 2022 I"])
def test_umlauts_without_or_with_a_wrong_character_set(tmp_path: Path, character_set: bytes) -> None:
    ct = make_ct(
        tmp_path, (2, 8, 8), patient="Müller^X", edit=lambda ds, k: ds.update({"SpecificCharacterSet": "ISO_IR 100"})
    )
    for path in ct.files:
        data = path.read_bytes()
        assert b"M\xfcller" in data
        path.write_bytes(data.replace(b"ISO_IR 100", character_set))
    info = only(tmp_path)
    assert info.patient_name.startswith("M") and info.patient_name.endswith("ller^X")
    assert np.array_equal(run(read_series(info)).volume.array, ct.hu)


# --- ways of writing


def test_nested_sequences_of_undefined_length_before_the_pixels(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        inner, outer, code = Dataset(), Dataset(), Dataset()
        code.CodeValue, code.ImagePositionPatient = "1", ["9", "9", "9"]  # not the image's own
        inner.ConceptCodeSequence, outer.SourceImageSequence = [code], [inner, Dataset()]
        ds.ReferencedImageSequence = [outer, outer]
        for item in (outer, inner):
            item.is_undefined_length_sequence_item = True
        ds["ReferencedImageSequence"].is_undefined_length = True
        outer["SourceImageSequence"].is_undefined_length = True
        ds.private_block(0x0029, "PHANTOM", create=True).add_new(1, "SQ", [inner])
        ds[0x00291001].is_undefined_length = True

    ct = make_ct(tmp_path, (3, 8, 9), edit=edit)
    case = load(tmp_path)
    assert np.array_equal(case.volume.array, ct.hu) and np.allclose(case.volume.grid.affine, ct.affine)


def test_long_values_before_the_pixels(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.private_block(0x0009, "PHANTOM", create=True).add_new(1, "OB", bytes(100_000))
        ds.private_block(0x0029, "PHANTOM", create=True).add_new(1, "UN", bytes(50_001))

    ct = make_ct(tmp_path, (3, 8, 9), edit=edit)
    assert np.array_equal(load(tmp_path).volume.array, ct.hu)


@pytest.mark.parametrize("implicit", [True, False])
def test_written_otherwise_than_the_file_says(tmp_path: Path, implicit: bool) -> None:
    ct = make_ct(tmp_path, (3, 8, 9))
    for path in ct.files:
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        ds.save_as(path, implicit_vr=implicit, little_endian=True)
        old, new = (b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1\0")[:: 1 if implicit else -1]
        data = path.read_bytes().replace(b"UI" + bytes([len(old), 0]) + old, b"UI" + bytes([len(new), 0]) + new)
        size = int.from_bytes(data[140:144], "little") + len(new) - len(old)
        path.write_bytes(data[:140] + size.to_bytes(4, "little") + data[144:])
    assert np.array_equal(load(tmp_path).volume.array, ct.hu)


def test_a_file_that_changes_after_the_scan(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    info = only(tmp_path)
    time.sleep(0.02)
    data = bytearray(ct.files[4].read_bytes())
    data[-5] ^= 1
    ct.files[4].write_bytes(data)
    with pytest.raises(UserError, match=r"slice004\.dcm has changed since the folder was read"):
        run(read_series(info))


# --- the job


def test_cancelling_ends_the_threads(tmp_path: Path) -> None:
    make_ct(tmp_path, (60, 64, 64), edit=stored_as(16, 12, False))
    info, before = only(tmp_path), threading.active_count()
    job = read_series(info)
    next(job)
    job.close()
    assert threading.active_count() == before


def test_many_files_are_quick(tmp_path: Path) -> None:
    """A header costs about a millisecond; the limit only catches what grows with the square of the number."""
    make_ct(tmp_path, (1500, 4, 4), (1.0, 1.0, 1.0))
    start = time.process_time()
    info = only(tmp_path)
    assert info.slices == 1500 and time.process_time() - start < 15
