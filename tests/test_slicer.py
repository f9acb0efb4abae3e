"""Slicer's .seg.nrrd both ways, against slicerio, pynrrd and SimpleITK."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
import slicerio
from hands import structure
from numpy.typing import NDArray
from phantoms import ORIENTATIONS, phantom_hu

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.nrrd_read import nrrd_image, read_nrrd
from contourdesk.app.nrrd_write import write_nrrd_image, write_slicer
from contourdesk.app.slicer_read import read_slicer, read_states
from contourdesk.app.structures import Decision, Structure
from contourdesk.app.volume import Volume

SHAPE = (7, 9, 8)


def make_case(orientation: str = "axial") -> Case:
    along, down = np.array(ORIENTATIONS[orientation][:3]), np.array(ORIENTATIONS[orientation][3:])
    affine = np.eye(4)
    affine[:3] = np.column_stack([np.cross(along, down), down, along, [-40.125, 33.5, -7.75]]) * [2.5, 1.3, 0.8, 1]
    return Case(Patient(), Volume(Grid(SHAPE, affine), phantom_hu(SHAPE)), Source(Path("x"), "file-1"))


def some_structures() -> list[Structure]:
    """Four, of which the first two and the last two overlap, and an empty one."""
    rng = np.random.default_rng(8)
    bits = [rng.random(SHAPE) > limit for limit in (0.5, 0.7)]
    apart = ~(bits[0] | bits[1])
    return [
        structure("Parotid_L", bits[0], colour=(1, 2, 3)),
        structure("PTV 50\\5", bits[1], colour=(255, 128, 0), interpreted_type="PTV"),
        structure("Drüse", apart, colour=(7, 77, 177), decision=Decision()),
        structure("Ring", apart & (rng.random(SHAPE) > 0.5), colour=(9, 9, 9), decision=Decision("rejected")),
        structure("Nothing", np.zeros(SHAPE, bool)),
    ]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_written_as_slicerio_and_pynrrd_read_it(tmp_path: Path, orientation: str) -> None:
    case, wanted = make_case(orientation), some_structures()
    path = write_slicer(case, wanted, tmp_path / "new" / "a.seg.nrrd")
    assert [p.name for p in path.parent.iterdir()] == ["a.seg.nrrd"]
    array, header = nrrd.read(str(path))
    assert array.shape == (2, *SHAPE[::-1]) and header["kinds"] == ["list", "domain", "domain", "domain"]
    assert np.allclose(header["space directions"][1:].T, case.volume.grid.affine[:3, [2, 1, 0]], atol=1e-12)
    read = slicerio.read_segmentation(str(path))
    for segment, one in zip(read["segments"], wanted, strict=True):
        bits = read["voxels"][segment["layer"]] == segment["labelValue"]
        assert np.array_equal(bits.T, one.mask.dense(SHAPE)), one.name
        assert np.allclose(np.array(segment["color"]) * 255, one.colour, atol=1e-2)
        if not one.mask.is_empty:
            assert segment["extent"] == [v for s in one.mask.box[::-1] for v in (s.start, s.stop - 1)]
    codes = [s["terminology"]["type"] for s in read["segments"]]
    assert codes[0] == ["SCT", "45289007", "Parotid gland"] and codes[2] == ["SCT", "85756007", "Tissue"]
    assert codes[1][1] == "228793007"
    assert read["segments"][0]["terminology"]["typeModifier"] == ["SCT", "7771000", "Left"]
    assert [s["status"] for s in read["segments"]][1:4] == ["completed", "inprogress", "flagged"]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_there_and_back(tmp_path: Path, orientation: str) -> None:
    case, wanted = make_case(orientation), some_structures()
    found, notes = read_slicer(write_slicer(case, wanted, tmp_path / "a.seg.nrrd"), case)
    assert notes == () and [s.name for s in found] == [s.name for s in wanted]
    assert [s.colour for s in found] == [s.colour for s in wanted]
    assert all(a.mask.equals(b.mask) for a, b in zip(found, wanted, strict=True))
    assert found[1].interpreted_type == "PTV" and found[0].provenance.source == "imported"
    states = [d.state for d in read_states(tmp_path / "a.seg.nrrd")]
    assert states == ["accepted", "accepted", "unreviewed", "rejected", "accepted"]
    again = write_slicer(case, wanted, tmp_path / "b.seg.nrrd")
    assert again.read_bytes() == (tmp_path / "a.seg.nrrd").read_bytes()


def slicer_file(path: Path, array: NDArray[np.generic], origin: object, fields: dict[str, str]) -> Path:
    """As Slicer lays it out, by pynrrd."""
    several = array.ndim == 4
    directions = np.diag([0.8, 1.3, 2.5])
    header = {
        "space": "left-posterior-superior",
        "space origin": origin,
        "kinds": ["list"] * several + ["domain"] * 3,
        "space directions": np.vstack([[np.nan] * 3, directions]) if several else directions,
        "encoding": "gzip",
        **fields,
    }
    nrrd.write(str(path), array, header)
    return path


def test_cropped_as_slicer_crops_it(tmp_path: Path) -> None:
    case = make_case()
    inner = np.zeros((3, 4, 2), np.uint8)  # x, y, z
    inner[1, 2, 0], inner[0, 0, 1] = 1, 4
    origin = case.volume.grid.to_world((3, 2, 1))
    fields = {
        "Segment0_ID": "Segment_1", "Segment0_Name": "A", "Segment0_LabelValue": "1", "Segment0_Layer": "0",
        "Segment0_Color": "0.5 0.68 0.5", "Segment0_Extent": "1 1 2 2 0 0",
        "Segment1_ID": "Segment_2", "Segment1_Name": "B", "Segment1_LabelValue": "4", "Segment1_Layer": "0",
        "Segmentation_ReferenceImageExtentOffset": "1 2 3", "Segmentation_MasterRepresentation": "Binary labelmap",
    }  # fmt: skip
    (a, b), notes = read_slicer(slicer_file(tmp_path / "a.seg.nrrd", inner, origin, fields), case)
    assert notes == () and a.colour == (128, 173, 128)
    assert a.mask.offset == (3, 4, 2) and a.mask.count == 1 and b.mask.offset == (4, 2, 1) and b.mask.count == 1
    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    assert np.allclose(image.TransformIndexToPhysicalPoint((1, 2, 0)), case.volume.grid.to_world((3, 4, 2)))


def test_old_files_with_a_layer_for_each_segment(tmp_path: Path) -> None:
    case = make_case()
    layers = np.random.default_rng(3).integers(0, 2, (2, *SHAPE[::-1])).astype(np.uint8)
    fields = {"Segment0_ID": "Tumour", "Segment1_ID": "x", "Segment1_Name": "Organ", "Segment1_Tags": ""}
    path = slicer_file(tmp_path / "a.seg.nrrd", layers, case.volume.grid.origin_lps, fields)
    found, _ = read_slicer(path, case)
    assert [s.name for s in found] == ["Tumour", "Organ"]
    assert all(np.array_equal(s.mask.dense(SHAPE), layers[i].T) for i, s in enumerate(found))


def test_list_axis_last(tmp_path: Path) -> None:
    case, layers = make_case(), np.random.default_rng(3).integers(0, 2, (*SHAPE[::-1], 2)).astype(np.uint8)
    header = {
        "space": "RAS", "space origin": case.volume.grid.origin_lps * [-1, -1, 1],
        "kinds": ["domain"] * 3 + ["list"],
        "space directions": np.vstack([np.diag([-0.8, -1.3, 2.5]), [np.nan] * 3]),
        "Segment0_Layer": "1", "Segment0_LabelValue": "1", "Segment0_Name": "B", "Segment0_ID": "b",
        "Segment1_Layer": "0", "Segment1_LabelValue": "1", "Segment1_Name": "A", "Segment1_ID": "a",
    }  # fmt: skip
    nrrd.write(str(tmp_path / "a.nrrd"), layers, header)
    found, _ = read_slicer(tmp_path / "a.nrrd", case)
    assert [s.name for s in found] == ["B", "A"]
    assert all(np.array_equal(s.mask.dense(SHAPE), layers[..., i].T) for s, i in zip(found, (1, 0), strict=True))
    for name in [n for n in header if n.startswith("Segment1")]:
        del header[name]
    nrrd.write(str(tmp_path / "b.nrrd"), layers, header)
    with pytest.raises(UserError, match="the voxels of value 1 in layer 0 are no segment's"):
        read_slicer(tmp_path / "b.nrrd", case)


def test_refusals(tmp_path: Path) -> None:
    case = make_case()
    fields = {"Segment0_ID": "a", "Segment0_Layer": "0", "Segment0_LabelValue": "1"}
    labels = np.ones(SHAPE[::-1], np.uint8)
    origin = case.volume.grid.origin_lps
    for change, message in (
        ({"Segmentation_SourceRepresentation": "Fractional labelmap"}, 'stored as "Fractional labelmap"'),
        ({"Segment0_Layer": "2"}, "layer that it doesn't have"),
        ({"Segment0_LabelValue": "x"}, "makes no sense"),
        ({"Segment0_LabelValue": "2"}, "the voxels of value 1 in layer 0 are no segment's"),
        ({"Segment1_Layer": "0", "Segment1_LabelValue": "1"}, "doesn't say which segment the voxels of layer 0"),
        ({"Segment1_Layer": "0"}, "doesn't say the LabelValue of its segment 1"),
        ({"Segment1_LabelValue": "1"}, "doesn't say the Layer of its segment 1"),
    ):
        path = slicer_file(tmp_path / "a.seg.nrrd", labels, origin, {**fields, **change})
        with pytest.raises(UserError, match=message):
            read_slicer(path, case)
    with pytest.raises(UserError, match=r"its voxels lie 0\.3 mm beside"):
        read_slicer(slicer_file(tmp_path / "b.seg.nrrd", labels, origin + np.array([0.3, 0, 0]), fields), case)
    with pytest.raises(UserError, match="whole numbers"):
        read_slicer(slicer_file(tmp_path / "c.seg.nrrd", labels.astype(np.float32), origin, fields), case)
    with pytest.raises(UserError, match="isn't one of Slicer's"):
        read_slicer(slicer_file(tmp_path / "d.nrrd", labels, origin, {}), case)
    one = slicer_file(tmp_path / "e.seg.nrrd", labels[:1, :1, :1], [0, 0, 0], fields)  # stands for no voxels at all
    assert read_slicer(one, case)[0][0].mask.is_empty


def test_no_part_is_left_and_the_old_file_stays(tmp_path: Path) -> None:
    case = make_case()
    path = write_slicer(case, some_structures(), tmp_path / "a.seg.nrrd")
    before = path.read_bytes()
    sheared = case.volume.grid.affine.copy()
    sheared[0, 0] = 1.5
    other = Case(Patient(), Volume(Grid(SHAPE, sheared), case.volume.array), case.source)
    with pytest.raises(UserError, match="right angles"):
        write_slicer(other, some_structures(), path)
    with pytest.raises(UserError, match="no structure"):
        write_slicer(case, [], path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["u1", "i2", "f4", ">i4"])
def test_images(tmp_path: Path, orientation: str, kind: str) -> None:
    grid, array = make_case(orientation).volume.grid, phantom_hu(SHAPE).astype(kind)
    path = write_nrrd_image(array, grid, tmp_path / "a.nrrd")
    image = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(image), array)
    assert np.allclose(image.TransformIndexToPhysicalPoint((7, 3, 6)), grid.to_world((6, 3, 7)), atol=1e-6)
    back = nrrd_image(*read_nrrd(path), path)
    assert np.array_equal(back.grid.affine, grid.affine) and np.array_equal(back.array, array)
