"""DICOM SEG written, and judged by dcmqi, highdicom and dciodvfy."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk
from hands import load, structure
from numpy.typing import NDArray
from phantoms import ORIENTATIONS, make_ct
from pydicom import dcmread

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.resample_masks import mask_on_grid, masks_on_original_planes
from contourdesk.app.seg_read import read_seg
from contourdesk.app.seg_write import LABELMAP, write_seg
from contourdesk.app.structures import Decision, Provenance, Structure

SHAPE = (6, 21, 27)  # 567 pixels a frame: single bits don't end with the byte


def some_structures(shape: tuple[int, int, int] = SHAPE) -> list[Structure]:
    rng = np.random.default_rng(3)
    alone = np.zeros(shape, bool)
    alone[2, 5, 7] = True
    return [
        structure("Parotid_L", rng.random(shape) > 0.6, colour=(1, 2, 3)),
        structure("PTV", rng.random(shape) > 0.8, interpreted_type="PTV", edited=True),
        structure("Nothing", np.zeros(shape, bool)),
        structure("Lens_R", alone, colour=(255, 255, 255), provenance=Provenance("reviewer")),
    ]


def by_highdicom(path: Path, case: Case) -> dict[int, NDArray[np.bool_]]:
    """Masks by segment number as highdicom puts them onto the source images."""
    seg = highdicom.seg.segread(path)
    pixels = seg.get_pixels_by_source_instance(
        list(case.source.image_uids), ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    return {n: pixels[..., i] != 0 for i, n in enumerate(seg.segment_numbers)}


def by_dcmqi(path: Path, folder: Path) -> dict[str, sitk.Image]:
    """Label maps by segment label as dcmqi makes them."""
    # pip puts it beside Python, which needn't be on the path
    program = shutil.which("segimage2itkimage") or shutil.which("segimage2itkimage", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("no dcmqi")
    folder.mkdir()
    command = [program, "--inputDICOM", str(path), "--outputDirectory", str(folder), "-t", "nrrd"]
    subprocess.run(command, check=True, capture_output=True)
    out = {}
    for group in json.loads((folder / "meta.json").read_text())["segmentAttributes"]:
        for one in group:
            out[one["SegmentLabel"]] = sitk.ReadImage(str(folder / f"{one['labelID']}.nrrd"))
    return out


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_same_voxels_for_dcmqi_and_highdicom(tmp_path: Path, orientation: str) -> None:
    case = load(make_ct(tmp_path / "ct", SHAPE, (2.5, 1.3, 0.8), orientation))
    wanted = some_structures()
    path = write_seg(case, wanted, tmp_path / "new" / "seg.dcm")
    assert [p.name for p in path.parent.iterdir()] == ["seg.dcm"]
    for number, bits in by_highdicom(path, case).items():
        assert np.array_equal(bits, wanted[number - 1].mask.dense(SHAPE))
    images = by_dcmqi(path, tmp_path / "dcmqi")
    for one in wanted:
        if one.mask.is_empty:
            continue
        labels = sitk.GetArrayFromImage(images[one.name])
        hits = {tuple(np.round(images[one.name].TransformIndexToPhysicalPoint(i[::-1].tolist()), 3)) for i in
                np.argwhere(labels)}  # fmt: skip
        ours = case.volume.grid.to_world(np.argwhere(one.mask.dense(SHAPE)))
        assert len(hits) == len(ours) and all(
            min(np.abs(np.array(hit) - ours).sum(axis=1)) < 0.01 for hit in itertools.islice(hits, 20)
        )


def test_read_back_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    case, wanted = load(make_ct(tmp_path / "ct", SHAPE, (2.5, 1.3, 0.8))), some_structures()
    path = write_seg(case, wanted, tmp_path / "seg.dcm", reviewer="Eva Müller", label="Review 1")
    found, notes = read_seg(path, case)
    assert notes == () and [s.name for s in found] == [s.name for s in wanted]
    assert all(a.mask.equals(b.mask) and a.colour == b.colour for a, b in zip(found, wanted, strict=True))
    assert [s.interpreted_type for s in found] == ["ORGAN", "PTV", "ORGAN", "ORGAN"]
    assert [s.provenance.model for s in found] == ["headneck", "headneck", "headneck", ""]
    assert found[3].provenance.person == "Müller^Eva" and found[0].provenance.time == "2026-11-25T09:10:11"
    ds = dcmread(path)
    assert [s.SegmentAlgorithmType for s in ds.SegmentSequence] == ["AUTOMATIC", "SEMIAUTOMATIC", "AUTOMATIC", "MANUAL"]
    assert ds.SegmentsOverlap == "YES" and ds.ContentDescription == "Review 1" and ds.PatientID == "PH-1"
    kind = ds.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeValue == "45289007" and kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    for frame in ds.PerFrameFunctionalGroupsSequence:
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        k = case.source.image_uids.index(uid)
        assert np.allclose(frame.PlanePositionSequence[0].ImagePositionPatient, case.volume.grid.to_world((k, 0, 0)))
    assert len(ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == SHAPE[0]


def test_same_review_same_file(tmp_path: Path) -> None:
    case, wanted = load(make_ct(tmp_path / "ct", SHAPE)), some_structures()
    first = write_seg(case, wanted, tmp_path / "a.dcm").read_bytes()
    assert write_seg(case, wanted, tmp_path / "b.dcm").read_bytes() == first
    wanted[0] = structure("Parotid_L", ~wanted[0].mask.dense(SHAPE), id=wanted[0].id)
    other = dcmread(write_seg(case, wanted, tmp_path / "c.dcm"))
    assert other.SOPInstanceUID != dcmread(tmp_path / "a.dcm").SOPInstanceUID
    assert other.SegmentSequence[0].TrackingUID == dcmread(tmp_path / "a.dcm").SegmentSequence[0].TrackingUID


def test_index_of_frames(tmp_path: Path) -> None:
    """Segments and the places they are on are counted from one, in the order of the frames."""
    case, wanted = load(make_ct(tmp_path / "ct", SHAPE)), some_structures()
    wanted[0] = structure("Parotid_L", np.arange(6)[:, None, None] + np.zeros(SHAPE, int) > 3)
    ds = dcmread(write_seg(case, [wanted[2], wanted[3], wanted[0]], tmp_path / "a.dcm"))
    frames = ds.PerFrameFunctionalGroupsSequence
    assert [list(f.FrameContentSequence[0].DimensionIndexValues) for f in frames] == [[2, 3], [3, 1], [3, 2]]
    numbers = [f.SegmentIdentificationSequence[0].ReferencedSegmentNumber for f in frames]
    assert numbers == [2, 3, 3] and "DimensionOrganizationType" not in ds


def test_label_map(tmp_path: Path) -> None:
    case, wanted = load(make_ct(tmp_path / "ct", SHAPE, orientation="sagittal")), some_structures()
    with pytest.raises(UserError, match='"Parotid_L" and "PTV" overlap'):
        write_seg(case, wanted, tmp_path / "a.dcm", kind=LABELMAP)
    wanted[1] = structure("PTV", ~wanted[0].mask.dense(SHAPE))
    del wanted[3]
    path = write_seg(case, wanted, tmp_path / "a.dcm", kind=LABELMAP)
    found, _ = read_seg(path, case)
    assert [s.name for s in found] == [s.name for s in wanted]
    assert all(a.mask.equals(b.mask) for a, b in zip(found, wanted, strict=True))
    for number, bits in by_highdicom(path, case).items():
        if number:
            assert np.array_equal(bits, wanted[number - 1].mask.dense(SHAPE))


@pytest.mark.parametrize("orientation", ["axial", "oblique"])
def test_dciodvfy_has_nothing_to_say(tmp_path: Path, orientation: str) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("no dciodvfy")
    case, wanted = load(make_ct(tmp_path / "ct", SHAPE, orientation=orientation)), some_structures()
    for name, some in (("a.dcm", wanted), ("b.dcm", wanted[:1])):
        path = write_seg(case, some, tmp_path / name, reviewer="Müller^Eva")
        done = subprocess.run([program, "-new", str(path)], capture_output=True, text=True, check=False)
        said = [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line or "Warning" in line]
        assert said == []


def test_frames_of_a_multi_frame_image_are_referred_to(tmp_path: Path, shared_data: Path) -> None:
    shutil.copytree(shared_data / "dicom_seg" / "24x38x3" / "multiframe", tmp_path / "ct")

    case = run(read_series(run(scan(tmp_path / "ct"))[0]))
    shape = case.volume.grid.shape
    wanted = some_structures(shape)
    path = write_seg(case, wanted, tmp_path / "seg.dcm")
    found, notes = read_seg(path, case)
    assert notes == () and all(a.mask.equals(b.mask) for a, b in zip(found, wanted, strict=True))
    ds = dcmread(path)
    source = case.source
    for frame in ds.PerFrameFunctionalGroupsSequence:
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0]
        k = source.image_frames.index(int(reference.ReferencedFrameNumber))
        assert reference.ReferencedSOPInstanceUID == source.image_uids[k]
        assert reference.ReferencedSOPClassUID == source.image_class_uids[k]
        assert np.allclose(frame.PlanePositionSequence[0].ImagePositionPatient, case.volume.grid.to_world((k, 0, 0)))
    assert len(ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1
    seg = highdicom.seg.segread(path)
    pixels = seg.get_pixels_by_source_frame(
        source.image_uids[0], list(source.image_frames), ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )  # fmt: skip
    for i, number in enumerate(seg.segment_numbers):
        assert np.array_equal(pixels[..., i] != 0, wanted[number - 1].mask.dense(shape))


def test_refusals(tmp_path: Path) -> None:
    case, wanted = load(make_ct(tmp_path / "ct", SHAPE)), some_structures()
    for name in ("", "a\\b", "x" * 65):
        with pytest.raises(UserError, match="can't be a DICOM name"):
            write_seg(case, [structure(name, ~np.zeros(SHAPE, bool))], tmp_path / "a.dcm")
    with pytest.raises(UserError, match="no structure with voxels"):
        write_seg(case, [wanted[2]], tmp_path / "a.dcm")
    blank = Case(case.patient, case.volume, type(case.source)(tmp_path, "file-1"))
    with pytest.raises(UserError, match="isn't from DICOM"):
        write_seg(blank, wanted, tmp_path / "a.dcm")
    with pytest.raises(UserError, match="never written over"):
        write_seg(case, wanted, tmp_path / "ct" / "slice000.dcm")
    assert [p.name for p in tmp_path.iterdir()] == ["ct"]


def test_undecided_imports_claim_no_more_than_they_know(tmp_path: Path) -> None:
    case = load(make_ct(tmp_path / "ct", SHAPE))
    wanted = structure("Body", ~np.zeros(SHAPE, bool), provenance=Provenance("imported"), decision=Decision())
    ds = dcmread(write_seg(case, [wanted], tmp_path / "a.dcm"))
    assert ds.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert ds.SegmentSequence[0].SegmentAlgorithmName == "not known (imported)"


def test_resampled_images_get_their_frames_on_the_original_slices(tmp_path: Path) -> None:
    """A tilted gantry: what highdicom puts onto each original image is what the mask is there."""
    ct = make_ct(tmp_path / "ct", (8, 40, 36), (2.5, 1.3, 0.8), step_lps=(0, 0.6, 2.4))
    (info,) = run(scan(ct.folder))
    assert info.resample is not None
    case = run(read_series(info, info.resample))
    z, y, x = np.indices(case.volume.grid.shape)
    ball = ((z - 4) / 3) ** 2 + ((y - 22) / 9) ** 2 + ((x - 17) / 8) ** 2 <= 1
    wanted = [structure("Ball", ball), structure("Half", ball & (x > 17))]
    path = write_seg(case, wanted, tmp_path / "seg.dcm")
    for number, bits in by_highdicom(path, case).items():
        original = masks_on_original_planes(wanted[number - 1].mask, info.resample)
        assert original.count and np.array_equal(bits, original.dense((8, 40, 36)))
    for frame in dcmread(path).PerFrameFunctionalGroupsSequence:
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        at = dcmread(ct.files[ct.image_uids.index(uid)]).ImagePositionPatient
        assert np.allclose(frame.PlanePositionSequence[0].ImagePositionPatient, at, atol=1e-4)
    found, notes = read_seg(path, case)
    assert notes == ()
    for one, other in zip(found, wanted, strict=True):
        back = mask_on_grid(masks_on_original_planes(other.mask, info.resample), info.resample)
        assert one.mask.equals(back)
