"""Enhanced CT: frames in any order and any object, as the same slices in single files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_steps import convert, error_of, load, only, series_of
from enhanced_phantoms import make_enhanced_ct
from openjpeg.utils import encode_array
from phantoms import ORIENTATIONS, make_ct, phantom_hu
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, generate_uid

from contourdesk.app.dicom_read import read_series
from contourdesk.app.jobs import run

HU = phantom_hu((9, 40, 48))
SHUFFLED = [int(k) for k in np.random.default_rng(5).permutation(9)]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_frames_in_random_order(tmp_path: Path, orientation: str) -> None:
    ds = make_enhanced_ct(tmp_path / "multi" / "a", HU, orientation=orientation, order=SHUFFLED)
    single = make_ct(tmp_path / "single", HU.shape, (3.0, 1.0, 0.8), orientation, hu=HU)
    case, expected = load(tmp_path / "multi"), load(tmp_path / "single")
    assert np.array_equal(case.volume.array, HU) and np.array_equal(case.volume.array, expected.volume.array)
    assert case.volume.array.dtype == np.int16
    assert np.abs(case.volume.grid.affine - expected.volume.grid.affine).max() < 1e-9
    assert np.abs(case.volume.grid.affine - single.affine).max() < 1e-6
    # Each slice knows its object and its frame there.
    assert case.source.image_uids == (ds.SOPInstanceUID,) * 9
    assert set(case.source.image_class_uids) == {"1.2.840.10008.5.1.4.1.1.2.1"}
    assert case.source.image_frames == tuple(SHUFFLED.index(k) + 1 for k in range(9))
    by_frame = pydicom.dcmread(tmp_path / "multi" / "a").pixel_array
    for k, frame in enumerate(case.source.image_frames):
        assert np.array_equal(by_frame[frame - 1] - 1024, case.volume.array[k])
    assert case.source.header is not None and case.source.header.NumberOfFrames == 9
    assert case.patient.name == "Phantom^Anna" and "PixelData" not in case.source.header
    assert expected.source.image_frames == ()


def test_agrees_with_simpleitk(tmp_path: Path) -> None:
    make_enhanced_ct(tmp_path / "a.dcm", HU)
    case, image = load(tmp_path), sitk.ReadImage(str(tmp_path / "a.dcm"))
    assert np.array_equal(sitk.GetArrayFromImage(image), case.volume.array)
    assert np.allclose(case.volume.grid.spacing_mm[::-1], image.GetSpacing())
    assert np.allclose(case.volume.grid.origin_lps, image.GetOrigin())


def test_all_groups_per_frame_and_rescale_of_each(tmp_path: Path) -> None:
    def edit_frame(own: Dataset, k: int) -> None:
        own.PixelValueTransformationSequence[0].RescaleSlope = "0.5" if k == 4 else "1"
        own.PixelValueTransformationSequence[0].RescaleIntercept = str(-1024 + k)

    make_enhanced_ct(tmp_path / "a", HU, order=SHUFFLED, shared=(), edit_frame=edit_frame)
    stored = HU.astype(float) + 1024
    expected = stored * np.where(np.arange(9) == 4, 0.5, 1)[:, None, None] - 1024 + np.arange(9)[:, None, None]
    assert np.array_equal(load(tmp_path).volume.array, expected)


def test_two_stacks(tmp_path: Path) -> None:
    """Upper five slices as stack 1, lower four as stack 2, without a gap between them."""

    def edit_frame(own: Dataset, k: int) -> None:
        own.FrameContentSequence[0].StackID = "1" if k >= 4 else "2"

    make_enhanced_ct(tmp_path / "a", HU, order=SHUFFLED, edit_frame=edit_frame)
    found = series_of(tmp_path)
    assert [s.slices for s in found] == [5, 4] and all(s.usable for s in found)
    upper, lower = (run(read_series(s)) for s in found)
    assert np.array_equal(upper.volume.array, HU[4:]) and np.array_equal(lower.volume.array, HU[:4])
    assert upper.source.image_frames == tuple(SHUFFLED.index(k) + 1 for k in range(4, 9))


def test_stacks_of_other_orientation_spacing_and_kernel(tmp_path: Path) -> None:
    uids = generate_uid(), generate_uid(), generate_uid()

    def edit_frame(own: Dataset, k: int) -> None:
        item = Dataset()
        item.ConvolutionKernel = "B60s" if k % 2 else "B30s"
        own.CTReconstructionSequence = [item]
        own.PlanePositionSequence[0].ImagePositionPatient = ["0", "0", str(k // 2 * 2)]

    make_enhanced_ct(tmp_path / "a", HU[:8], uids=uids, edit_frame=edit_frame)
    make_enhanced_ct(tmp_path / "b", HU[:3], orientation="sagittal", uids=uids)
    found = series_of(tmp_path)
    assert sorted(s.slices for s in found) == [3, 4, 4] and all(s.usable for s in found)
    arrays = [run(read_series(s)).volume.array for s in found]
    for expected in (HU[0:8:2], HU[1:8:2], HU[:3]):
        assert any(np.array_equal(a, expected) for a in arrays)


def test_time_points_are_told_apart(tmp_path: Path) -> None:
    both = np.concatenate([HU[:4], HU[5:9]])

    def edit_frame(own: Dataset, k: int) -> None:
        own.FrameContentSequence[0].TemporalPositionIndex = 1 + k // 4
        own.PlanePositionSequence[0].ImagePositionPatient = ["0", "0", str(k % 4 * 2)]

    order = [0, 4, 1, 5, 2, 6, 3, 7]
    make_enhanced_ct(tmp_path / "a", both, order=order, edit_frame=edit_frame)
    found = series_of(tmp_path)
    assert [s.slices for s in found] == [4, 4] and all("Temporal position" in s.notes[0] for s in found)
    arrays = [run(read_series(s)).volume.array for s in found]
    assert any(np.array_equal(a, HU[:4]) for a in arrays) and any(np.array_equal(a, HU[5:9]) for a in arrays)


def test_two_objects_at_one_place(tmp_path: Path) -> None:
    uids = generate_uid(), generate_uid(), generate_uid()
    make_enhanced_ct(tmp_path / "a", HU, uids=uids)
    make_enhanced_ct(tmp_path / "b", (HU + 5).astype(np.int16), uids=uids)
    found = series_of(tmp_path)
    assert [s.slices for s in found] == [9, 9] and all("Multi-frame image" in s.notes[0] for s in found)
    arrays = [run(read_series(s)).volume.array for s in found]
    assert {int(a[0, 0, 0] - HU[0, 0, 0]) for a in arrays} == {0, 5}
    assert {s.files for s in found} == {(tmp_path / "a",), (tmp_path / "b",)}


def concatenation(folder: Path, parts: list[list[int]], total: int | None = None) -> list[Dataset]:
    uids, whole = (generate_uid(), generate_uid(), generate_uid()), generate_uid()
    out = []
    for n, order in enumerate(parts, start=1):

        def edit(ds: Dataset, n: int = n) -> None:
            ds.ConcatenationUID, ds.InConcatenationNumber, ds.ConcatenationFrameOffsetNumber = whole, n, 3 * (n - 1)
            ds.InConcatenationTotalNumber = total or len(parts)

        out.append(make_enhanced_ct(folder / f"part{n}", HU, order=order, uids=uids, edit=edit))
    return out


def test_a_concatenation(tmp_path: Path) -> None:
    parts = [SHUFFLED[:3], SHUFFLED[3:6], SHUFFLED[6:]]
    objects = concatenation(tmp_path, parts)
    info = only(tmp_path)
    assert info.slices == 9 and len(info.files) == 3
    case = run(read_series(info))
    assert np.array_equal(case.volume.array, HU)
    for k in range(9):
        n = next(n for n, part in enumerate(parts) if k in part)
        assert case.source.image_uids[k] == objects[n].SOPInstanceUID
        assert case.source.image_frames[k] == parts[n].index(k) + 1


def test_a_part_of_a_concatenation_is_missing(tmp_path: Path) -> None:
    concatenation(tmp_path, [[0, 1, 2], [3, 4, 5]], total=3)
    assert "Of the 3 files that its frames were spread over, number 3 is missing" in error_of(tmp_path)


def test_a_missing_frame_is_told_of(tmp_path: Path) -> None:
    make_enhanced_ct(tmp_path / "a", HU, order=[k for k in SHUFFLED if k != 4])
    assert "1 slice is missing, at z = -38.0 mm" in error_of(tmp_path)


def test_copies_of_frames(tmp_path: Path) -> None:
    make_enhanced_ct(tmp_path / "a", HU, order=[*SHUFFLED, 3])
    info = only(tmp_path)
    assert (
        info.slices == 9 and "a frame" in info.notes[0] and info.notes[0].startswith("1 duplicate slice was left out")
    )


@pytest.mark.parametrize("offsets", ["one piece a frame", "offset table"])
def test_compressed_frames(tmp_path: Path, offsets: str) -> None:
    ds = make_enhanced_ct(tmp_path / "a", HU, order=SHUFFLED)
    codes = [encode_array(frame.astype(np.uint16), bits_stored=16) for frame in ds.pixel_array]
    pieces = 1 if offsets == "one piece a frame" else 3
    ds.PixelData = encapsulate(codes, fragments_per_frame=pieces, has_bot=pieces > 1)
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds.save_as(tmp_path / "a")
    assert np.array_equal(load(tmp_path).volume.array, HU)


def test_pieces_that_can_not_be_told_apart(tmp_path: Path) -> None:
    ds = make_enhanced_ct(tmp_path / "a", HU, order=SHUFFLED)
    codes = [encode_array(frame.astype(np.uint16), bits_stored=16) for frame in ds.pixel_array]
    ds.PixelData = encapsulate(codes, fragments_per_frame=2, has_bot=False)
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds.save_as(tmp_path / "a")
    assert "a frame" in error_of(tmp_path)


@pytest.mark.parametrize("options", [["+td"], ["+tb"], ["+ti"], ["+te", "-e"], ["+te", "+e"]])
def test_other_ways_of_writing(tmp_path: Path, options: list[str]) -> None:
    """Deflated, big endian, implicit, and sequences of undefined and of explicit length."""
    make_enhanced_ct(tmp_path / "a", HU, order=SHUFFLED)
    convert("dcmconv", options, [tmp_path / "a"])
    case = load(tmp_path)
    assert np.array_equal(case.volume.array, HU) and case.source.image_frames[SHUFFLED[0]] == 1
    assert case.source.header is not None and len(case.source.header.PerFrameFunctionalGroupsSequence) == 9


def test_rle_by_dcmtk(tmp_path: Path) -> None:
    make_enhanced_ct(tmp_path / "a", HU, order=SHUFFLED)
    convert("dcmcrle", [], [tmp_path / "a"])
    assert np.array_equal(load(tmp_path).volume.array, HU)


@pytest.mark.parametrize(
    ("keyword", "words"),
    [
        ("PlanePositionSequence", "a frame 3 lacks Image Position (Patient) (0020,0032)"),
        ("PlaneOrientationSequence", "a frame 3 lacks Image Orientation (Patient) (0020,0037)"),
        ("PixelMeasuresSequence", "a frame 3 lacks Pixel Spacing (0028,0030)"),
        ("PixelValueTransformationSequence", "a frame 3 lacks Rescale Slope (0028,1053)"),
    ],
)
def test_groups_that_a_frame_lacks(tmp_path: Path, keyword: str, words: str) -> None:
    def edit_frame(own: Dataset, k: int) -> None:
        if k == 2:
            delattr(own, keyword)

    def edit(ds: Dataset) -> None:  # what the file says as a whole is no answer for a frame
        ds.RescaleSlope, ds.RescaleIntercept, ds.PixelSpacing = "1", "-1024", ["1", "1"]
        ds.ImagePositionPatient, ds.ImageOrientationPatient = ["0", "0", "0"], ["1", "0", "0", "0", "1", "0"]

    make_enhanced_ct(tmp_path / "a", HU, shared=(), edit_frame=edit_frame, edit=edit)
    assert words in error_of(tmp_path)


def test_more_frames_than_descriptions(tmp_path: Path) -> None:
    def edit(ds: Dataset) -> None:
        del ds.PerFrameFunctionalGroupsSequence[-1]

    make_enhanced_ct(tmp_path / "a", HU, edit=edit)
    assert "a describes 8 frames where it holds 9" in error_of(tmp_path)


def test_frames_without_a_place(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.NumberOfFrames, ds.PixelData = 4, ds.PixelData * 4

    make_ct(tmp_path, (1, 8, 8), edit=edit)
    assert "slice000.dcm is a multi-frame image that doesn't say where its frames lie" in error_of(tmp_path)


def test_truncated(tmp_path: Path) -> None:
    make_enhanced_ct(tmp_path / "a", HU)
    data = (tmp_path / "a").read_bytes()
    for length in (len(data) - 500, len(data) - HU.nbytes - 300):
        (tmp_path / "a").write_bytes(data[:length])
        assert "a " in error_of(tmp_path) and "cut short" in error_of(tmp_path)


def test_scout_frames(tmp_path: Path) -> None:
    def edit_frame(own: Dataset, k: int) -> None:
        own.CTImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if k == 8 else "VOLUME", "NONE"]

    make_enhanced_ct(tmp_path / "a", HU, shared=("measures", "orientation", "values"), edit_frame=edit_frame)
    volume, scout = series_of(tmp_path)
    assert volume.usable and volume.slices == 8 and not scout.usable and "localiser" in scout.problems[0]
