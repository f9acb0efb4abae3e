"""DICOM SEG by highdicom and dcmqi, read onto the grid of the images; refusals."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pytest
from hands import load
from numpy.typing import NDArray
from phantoms import ORIENTATIONS, CtPhantom, make_ct
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless, generate_uid

from contourdesk.app.case import Case
from contourdesk.app.colours import lab_to_rgb
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.nrrd_read import nrrd_image, read_nrrd
from contourdesk.app.seg_read import add_seg, read_seg, references

SHAPE = (6, 21, 27)


def random_bits(count: int = 1) -> NDArray[np.bool_]:
    """(slice, row, column, segment), some slices empty."""
    bits = np.random.default_rng(4).random((*SHAPE, count)) > 0.7
    bits[0], bits[3, ..., 0] = False, False
    return bits


def by_highdicom(
    path: Path,
    ct: CtPhantom,
    pixels: NDArray[np.generic],
    kind: str = "BINARY",
    *,
    names: tuple[str, ...] = ("Liver",),
    sources: slice = slice(None),
    edit: Callable[[Dataset], None] | None = None,
    **more: object,
) -> Path:
    """A SEG of a CT phantom, made without any of the project's code."""
    describe = [
        highdicom.seg.SegmentDescription(
            i, name, codes.SCT.Organ, codes.SCT.Liver, "MANUAL", tracking_uid=generate_uid(), tracking_id=name,
            display_color=highdicom.color.CIELabColor.from_rgb(255, 100, i) if i < 3 else None,
        )
        for i, name in enumerate(names, 1)
    ]  # fmt: skip
    seg = highdicom.seg.Segmentation(
        source_images=[dcmread(f) for f in ct.files[sources]],
        pixel_array=pixels, segmentation_type=kind, segment_descriptions=describe,
        series_instance_uid=generate_uid(), series_number=1, sop_instance_uid=generate_uid(), instance_number=1,
        manufacturer="x", manufacturer_model_name="y", software_versions="1", device_serial_number="0",
        content_creator_name="Doe^Jane", **more,
    )  # fmt: skip
    if edit is not None:
        edit(seg)
    seg.save_as(path)
    return path


def reversed_frames(ds: Dataset) -> None:
    """The same frames in the opposite order."""
    size, count = ds.Rows * ds.Columns, int(ds.NumberOfFrames)
    bits = np.unpackbits(np.frombuffer(ds.PixelData, np.uint8), count=size * count, bitorder="little")
    data = np.packbits(bits.reshape(count, size)[::-1], bitorder="little").tobytes()
    ds.PixelData = data + bytes(len(data) % 2)
    ds.PerFrameFunctionalGroupsSequence = list(ds.PerFrameFunctionalGroupsSequence)[::-1]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_overlapping_segments_and_sparse_frames_in_any_order(tmp_path: Path, orientation: str) -> None:
    ct = make_ct(tmp_path / "ct", SHAPE, (2.5, 1.3, 0.8), orientation)
    case, bits = load(ct), random_bits(3)
    names = ("Liver", "Spleen", "Body")
    path = by_highdicom(tmp_path / "seg.dcm", ct, bits, names=names, edit=reversed_frames)
    assert dcmread(path).NumberOfFrames < 18
    found, notes = read_seg(path, case)
    assert notes == () and [s.name for s in found] == list(names)
    assert all(np.array_equal(s.mask.dense(SHAPE), bits[..., i]) for i, s in enumerate(found))
    assert found[0].colour == (255, 100, 1) and found[0].provenance.person == "Doe^Jane"
    assert found[2].interpreted_type == "EXTERNAL" and found[0].provenance.parent.startswith("SEG 1.2.826")


@pytest.mark.parametrize("kind", ["PROBABILITY", "OCCUPANCY"])
@pytest.mark.parametrize("compressed", [False, True])
def test_fractional(tmp_path: Path, kind: str, compressed: bool) -> None:
    ct = make_ct(tmp_path / "ct", SHAPE)
    values = np.random.default_rng(1).integers(0, 256, SHAPE) / 255
    values[4] = 0
    more = {"transfer_syntax_uid": RLELossless} if compressed else {}
    path = by_highdicom(tmp_path / "seg.dcm", ct, values, "FRACTIONAL", fractional_type=kind, **more)
    (found,), notes = read_seg(path, load(ct))
    assert np.array_equal(found.mask.dense(SHAPE), np.around(values * 255) >= 127.5)
    assert notes == ("seg.dcm is fractional; what is at least 0.5 counts as inside.",)


@pytest.mark.parametrize("count", [3, 300])
@pytest.mark.parametrize("compressed", [False, True])
def test_label_map(tmp_path: Path, count: int, compressed: bool) -> None:
    ct = make_ct(tmp_path / "ct", SHAPE)
    labels = np.random.default_rng(1).integers(0, count + 1, SHAPE).astype(np.uint16)
    labels[2] = 0
    names = tuple(f"S{i}" for i in range(1, count + 1))
    more = {"transfer_syntax_uid": RLELossless} if compressed else {}
    path = by_highdicom(tmp_path / "seg.dcm", ct, labels, "LABELMAP", names=names, **more)
    found, notes = read_seg(path, load(ct))
    assert notes == () and [s.name for s in found] == list(names)
    assert all(np.array_equal(s.mask.dense(SHAPE), labels == i) for i, s in enumerate(found, 1))


def test_a_part_of_the_image_and_more_than_it(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct", SHAPE, (2.5, 1.3, 0.8), "oblique")
    case, bits = load(ct), random_bits()[..., 0]
    inner = case.volume.grid.crop((slice(1, 5), slice(3, 20), slice(2, 25)))
    where = {
        "plane_positions": [
            highdicom.PlanePositionSequence("PATIENT", inner.to_world((k, 0, 0))) for k in range(inner.shape[0])
        ],
        "pixel_measures": highdicom.PixelMeasuresSequence((1.3, 0.8), 2.5, 2.5),
        "plane_orientation": highdicom.PlaneOrientationSequence("PATIENT", ORIENTATIONS["oblique"]),
    }
    path = by_highdicom(tmp_path / "seg.dcm", ct, bits[1:5, 3:20, 2:25], **where)
    (found,), notes = read_seg(path, case)
    wanted = np.zeros(SHAPE, bool)
    wanted[1:5, 3:20, 2:25] = bits[1:5, 3:20, 2:25]
    assert notes == () and np.array_equal(found.mask.dense(SHAPE), wanted)
    smaller = replace(case, volume=type(case.volume)(inner, case.volume.array[1:5, 3:20, 2:25]), structures=None)
    path = by_highdicom(tmp_path / "whole.dcm", ct, bits)
    (found,), notes = read_seg(path, smaller)
    assert np.array_equal(found.mask.dense(inner.shape), bits[1:5, 3:20, 2:25])
    lost = np.count_nonzero(bits) - np.count_nonzero(bits[1:5, 3:20, 2:25])
    assert notes == (f"whole.dcm reaches over the edge of the images; {lost} voxels were left out.",)


@pytest.mark.parametrize(("change", "message"), [
    ({"shift": 0.4}, r"lie 0\.4 mm beside"), ({"spacing": (1.3, 0.81)}, r"0\.81 × 1\.3 × 2\.5 mm, theirs 0\.8 × 1\.3"),
    ({"step": 5.0}, r"made for slices 5 mm apart; these images' are 2\.5 mm"),
])  # fmt: skip
def test_other_grids_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    ct = make_ct(tmp_path / "ct", SHAPE, (2.5, 1.3, 0.8))
    case, bits = load(ct), random_bits()[..., 0] | True
    step = 2 if "step" in change else 1
    aside = np.array([0, change.get("shift", 0), 0])
    positions = [case.volume.grid.to_world((k, 0, 0)) + aside for k in range(0, 6, step)]
    path = by_highdicom(
        tmp_path / "seg.dcm", ct, bits[::step],
        plane_positions=[highdicom.PlanePositionSequence("PATIENT", p) for p in positions],
        pixel_measures=highdicom.PixelMeasuresSequence(change.get("spacing", (1.3, 0.8)), 2.5, change.get("step", 2.5)),
    )  # fmt: skip
    with pytest.raises(UserError, match=message):
        read_seg(path, case)
    if "shift" in change:
        (found,), _ = read_seg(path, case, tolerance_mm=0.5)
        assert np.array_equal(found.mask.dense(SHAPE), bits)


def test_references(tmp_path: Path) -> None:
    ct, other = make_ct(tmp_path / "ct", SHAPE), make_ct(tmp_path / "other", SHAPE)
    bits = random_bits()[..., 0]
    path = by_highdicom(tmp_path / "seg.dcm", other, bits)
    case = load(ct)
    with pytest.raises(UserError, match="not made on these images"):
        read_seg(path, case)
    (found,), notes = read_seg(path, case, any_reference=True)
    assert np.array_equal(found.mask.dense(SHAPE), bits)
    assert notes == (f"seg.dcm: {found.provenance.remark}",) and "its frame of reference is another" in notes[0]
    assert add_seg(case, path).source.notes[-1].endswith("Its structures were not loaded.")
    refers = references(path)
    assert refers.series_uids == {other.series_uid} and refers.frame_uids == {other.frame_of_reference_uid}
    assert refers.image_uids == set(other.image_uids)


def test_found_beside_its_images(tmp_path: Path) -> None:
    ct, other = make_ct(tmp_path / "a" / "ct", SHAPE), make_ct(tmp_path / "b" / "ct", SHAPE)
    bits = random_bits()[..., 0]
    by_highdicom(tmp_path / "a" / "seg", ct, bits)
    by_highdicom(tmp_path / "a" / "stray.dcm", other, bits)
    (info,) = run(scan(tmp_path / "a"))
    assert [p.name for p in info.segs] == ["seg"] and info.rtstructs == ()
    assert info.notes == ("stray.dcm holds structures of other images than these; it was not loaded.",)
    case = run(read_series(info))
    assert np.array_equal(case.structures.items[0].mask.dense(SHAPE), bits)
    for path in ct.files:
        path.unlink()
    with pytest.raises(UserError, match=r"only 2 SEG\. Open the CT that the structures were made on"):
        run(scan(tmp_path / "a"))


def blank(keyword: str) -> Callable[[Dataset], None]:
    def edit(ds: Dataset) -> None:
        delattr(ds, keyword)

    return edit


def twice(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence[1] = ds.PerFrameFunctionalGroupsSequence[0]


def nowhere(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    def edit(ds: Dataset) -> None:
        setattr(ds, keyword, value)

    return edit


@pytest.mark.parametrize(("edit", "message"), [
    (blank("SegmentSequence"), "can't be read"), (blank("PerFrameFunctionalGroupsSequence"), "can't be read"),
    (blank("PixelData"), "can't be read"), (put("Rows", 20000), "can't be read"), (put("Rows", 22), "fewer pixels"),
    (put("NumberOfFrames", 99), "describes others"), (put("BitsAllocated", 32), "32 bits"), (nowhere, "where it lies"),
    (twice, "two frames of \"Liver\""), (put("SegmentationType", "OTHER"), "unknown kind"),
])  # fmt: skip
def test_damaged_files_end_in_words(tmp_path: Path, edit: Callable[[Dataset], None], message: str) -> None:
    ct = make_ct(tmp_path / "ct", SHAPE)
    path = by_highdicom(tmp_path / "seg.dcm", ct, random_bits()[..., 0] | True, edit=edit)
    with pytest.raises(UserError, match=message):
        read_seg(path, load(ct))


def test_any_damage_ends_in_words(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct", SHAPE)
    case = load(ct)
    data = by_highdicom(tmp_path / "seg.dcm", ct, random_bits(2), names=("A", "B")).read_bytes()
    rng = np.random.default_rng(7)
    outcomes = set()
    for i in range(150):
        broken = bytearray(data[: rng.integers(1, len(data))] if i % 3 == 0 else data)
        for _ in range(rng.integers(1, 6)):
            broken[rng.integers(0, len(broken))] = rng.integers(0, 256)
        (tmp_path / "b.dcm").write_bytes(broken)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, about odd values
            try:
                read_seg(tmp_path / "b.dcm", case)
                outcomes.add("read")
            except UserError:
                outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def real(folder: Path) -> Case:
    return run(read_series(next(s for s in run(scan(folder)) if s.usable)))


def test_dcmqis_files_bit_for_bit(shared_data: Path) -> None:
    root = shared_data / "dicom_seg"
    for size in ("23x38x3", "24x38x3"):  # 23 x 38: frames don't end with the byte
        case = real(root / size / "image")
        (found,), notes = read_seg(root / size / "seg" / "label.seg", case)
        raw = nrrd_image(*read_nrrd(root / size / "nrrd" / "label.nrrd"), root)
        assert raw.grid.is_close(case.volume.grid) and notes == ()
        assert np.array_equal(found.mask.dense(case.volume.grid.shape), raw.array != 0)
    case = real(root / "ct-3slice")
    (liver,), _ = read_seg(root / "liver.dcm", case)
    raw = nrrd_image(*read_nrrd(root / "liver_seg.nrrd"), root)
    assert np.array_equal(liver.mask.dense(case.volume.grid.shape), raw.array != 0)
    assert liver.colour == (221, 130, 101) and liver.name == "Liver"
    small = real(root / "24x38x3" / "image")
    for name in ("noppv", "ppv5"):  # 5 marks padding in the second
        (liver,), _ = read_seg(root / f"sparse-labelmap-{name}.dcm", small)
        raw = nrrd_image(*read_nrrd(root / f"sparse_labelmap_{name}_seg.nrrd"), root)
        assert np.array_equal(liver.mask.dense(small.volume.grid.shape), raw.array == 1)


def test_dcmqis_overlapping_segments(shared_data: Path) -> None:
    root = shared_data / "dicom_seg"
    case = real(root / "ct-3slice")
    found, _ = read_seg(root / "partial_overlaps.dcm", case)
    shape = case.volume.grid.shape
    labels = [nrrd_image(*read_nrrd(root / f"partial_overlaps-{i}.nrrd"), root).array for i in (1, 2, 3)]
    ours = [s.mask.dense(shape) for s in found]
    # dcmqi spread the five segments over three label maps in which nothing overlaps.
    theirs = [array == value for array in labels for value in np.unique(array) if value]
    assert len(theirs) == len(ours) == 5
    for bits in ours:
        assert sum(np.array_equal(bits, one) for one in theirs) == 1


def test_colours_against_highdicom() -> None:
    for rgb in ((0, 0, 0), (255, 255, 255), (1, 2, 3), (250, 3, 120), (17, 230, 99)):
        assert lab_to_rgb(highdicom.color.CIELabColor.from_rgb(*rgb).value) == rgb
    with pytest.raises(ValueError, match="CIELab"):
        lab_to_rgb([1, 2])
