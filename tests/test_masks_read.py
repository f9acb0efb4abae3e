"""Structures from any tool's files, chosen by content: label maps, folders of masks, and all by one function."""

from __future__ import annotations

import itertools
import json
import shutil
import tracemalloc
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from hands import load, structure
from numpy.typing import NDArray
from phantoms import CT_IMAGE, Roi, make_ct, make_rtstruct

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.image_read import read_image_file
from contourdesk.app.jobs import run
from contourdesk.app.label_names import label_names
from contourdesk.app.masks_read import import_structures, read_structures
from contourdesk.app.nifti_write import write_masks
from contourdesk.app.nrrd_write import write_slicer
from contourdesk.app.seg_write import write_seg
from contourdesk.app.volume import Volume

SHAPE = (7, 9, 8)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def make_case(shape: tuple[int, int, int] = SHAPE) -> Case:
    grid = Grid.from_spacing(shape, (2.5, 1.3, 0.8), (-40.125, 33.5, -7.75))
    return Case(Patient(), Volume(grid, np.zeros(shape, np.int16)), Source(Path("x"), "file-1"))


def save(path: Path, array: NDArray[np.generic], grid: Grid, extension: str = "") -> Path:
    """Array (z, y, x) by nibabel."""
    image = nib.Nifti1Image(array.T, LPS_TO_RAS @ grid.affine[:, [2, 1, 0, 3]])
    if extension:
        image.header.extensions.append(nib.nifti1.Nifti1Extension(0, extension.encode()))
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def labels(highest: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, highest + 1, SHAPE).astype(np.uint8)


TABLE = """<?xml version="1.0"?><CaretExtension><VolumeInformation Index="0"><LabelTable>
<Label Key="0" Red="0"><![CDATA[background]]></Label>
<Label Key="1" Red="0" Green="1" Blue="0" Alpha="1"><![CDATA[kidney_left]]></Label>
<Label Key="3" Red="0" Green="1" Blue="0" Alpha="1">A &amp; B</Label>
</LabelTable></VolumeInformation></CaretExtension>"""


def test_label_map_with_names_of_its_own(tmp_path: Path) -> None:
    case, array = make_case(), labels()
    found, notes = read_structures(save(tmp_path / "seg.nii.gz", array, case.volume.grid, TABLE), case)
    assert notes == () and [s.name for s in found] == ["kidney_left", "A & B", "seg 2"]
    for one, value in zip(found, (1, 3, 2), strict=True):
        assert np.array_equal(one.mask.dense(SHAPE), array == value)
    assert found[0].provenance.source == "imported" and found[0].interpreted_type == "ORGAN"


@pytest.mark.parametrize(("text", "names"), [
    ({"labels": {"background": 0, "Heart": 1, "PTV": 2}}, ["Heart", "PTV", "case 3"]),
    ({"labels": {"0": "background", "1": "Heart", "3": "PTV"}}, ["Heart", "PTV", "case 2"]),
    ({"labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "ignore": 4}}, ["whole", "core"]),
])  # fmt: skip
@pytest.mark.parametrize("where", ["labelsTr/../dataset.json", "labelsTr/dataset.json", "labelsTr/case.json"])
def test_names_from_nnunets_dataset(tmp_path: Path, text: dict[str, object], names: list[str], where: str) -> None:
    case, array = make_case(), labels()
    path = save(tmp_path / "labelsTr" / "case.nii.gz", array, case.volume.grid)
    (tmp_path / where).resolve().write_text(json.dumps(text))
    found, _ = read_structures(path, case)
    assert [s.name for s in found] == names
    if "whole" in names:
        assert np.array_equal(found[0].mask.dense(SHAPE), array > 0)
        assert np.array_equal(found[1].mask.dense(SHAPE), array > 1)


def test_ignored_voxels_and_bad_json(tmp_path: Path) -> None:
    case = make_case()
    path = save(tmp_path / "a.nii", labels(), case.volume.grid)
    (tmp_path / "a.json").write_text('{"A": 1, "B": 2, "ignore": 3}')
    found, notes = read_structures(path, case)
    assert [s.name for s in found] == ["A", "B"] and notes == ('a.nii has voxels marked "ignore"; they were left out.',)
    (tmp_path / "a.json").write_text("[" * 5000)
    with pytest.raises(UserError, match=r"a\.json can't be read as JSON"):
        read_structures(path, case)
    (tmp_path / "a.json").write_text("[1, 2]")
    assert label_names(path) == {}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_the_same_grid_stored_another_way(tmp_path: Path, order: tuple[int, ...], flips: tuple[int, ...]) -> None:
    """RAS and permuted copies, as other tools store them, by nibabel's own reorientation."""
    case, array = make_case(), labels(1)
    save(tmp_path / "a.nii", array, case.volume.grid)
    image = nib.load(tmp_path / "a.nii").as_reoriented(np.column_stack([order, flips]))
    nib.save(image, tmp_path / "spleen.nii.gz")
    (found,), notes = read_structures(tmp_path / "spleen.nii.gz", case)
    assert notes == () and found.name == "spleen" and np.array_equal(found.mask.dense(SHAPE), array == 1)


def test_a_folder_as_totalsegmentator_writes_it(tmp_path: Path) -> None:
    case, rng = make_case(), np.random.default_rng(6)
    masks = {f"organ_{i:02d}": rng.random(SHAPE) > 0.2 + i / 50 for i in range(30)}  # they overlap
    masks["organ_07"][:] = False
    for name, bits in masks.items():
        save(tmp_path / f"{name}.nii.gz", bits.astype(np.uint8), case.volume.grid)
    (tmp_path / "statistics.json").write_text("{}")
    other = Grid.from_spacing(SHAPE, (2.5, 1.3, 0.9), case.volume.grid.origin_lps)
    save(tmp_path / "wrong.nii.gz", np.ones(SHAPE, np.uint8), other)
    save(tmp_path / "ct.nii.gz", rng.integers(-1000, 1000, SHAPE).astype(np.int16), case.volume.grid)
    found, notes = read_structures(tmp_path, case)
    assert [s.name for s in found] == [n for n in sorted(masks) if n != "organ_07"]
    assert all(np.array_equal(s.mask.dense(SHAPE), masks[s.name]) for s in found)
    assert notes == (
        "Left out: ct.nii.gz looks like an image, not like labels of structures.",
        "Left out: wrong.nii.gz is on another grid than the images: its voxels measure 0.9 × 1.3 × 2.5 mm, theirs "
        "0.8 × 1.3 × 2.5 mm.",
        "1 of the masks are empty; they were left out.",
    )


def test_our_own_files_come_back(tmp_path: Path) -> None:
    """One function for all of them, whatever they are called."""
    case = load(make_ct(tmp_path / "ct", SHAPE, (2.5, 1.3, 0.8), "oblique"))
    rng = np.random.default_rng(1)
    wanted = [structure("Heart", rng.random(SHAPE) > 0.5), structure("PTV", rng.random(SHAPE) > 0.5)]
    write_masks(wanted, case.volume.grid, tmp_path / "masks")
    write_seg(case, wanted, tmp_path / "seg.bin")
    write_slicer(case, wanted, tmp_path / "slicer.txt")
    for path in (tmp_path / "masks", tmp_path / "seg.bin", tmp_path / "slicer.txt"):
        found, notes = read_structures(path, case)
        assert notes == () and [s.name for s in found] == ["Heart", "PTV"]
        assert all(a.mask.equals(b.mask) for a, b in zip(found, wanted, strict=True))


def test_rtstruct_and_names_that_are_taken(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct", SHAPE)
    square = np.array([[-20.0, -40, -47], [-15, -40, -47], [-15, -36, -47], [-20, -36, -47]])
    path = make_rtstruct(tmp_path / "rs", ct, [Roi("Box", [("CLOSED_PLANAR", square, "")])])
    case = load(ct)
    (found,), _ = read_structures(path, case)
    assert found.name == "Box" and found.contours is not None
    again, notes = read_structures(path, Case(case.patient, case.volume, case.source, case.structures.put(found)))
    assert again[0].name == "Box (2)" and "renamed" in notes[0]


def test_label_maps_in_nrrd(tmp_path: Path) -> None:
    case, array = make_case(), labels().astype(np.float32)
    grid = case.volume.grid
    header = {
        "space": "left-posterior-superior",
        "space directions": grid.affine[:3, [2, 1, 0]].T,
        "space origin": grid.origin_lps,
    }
    nrrd.write(str(tmp_path / "a.nrrd"), array.T, header)
    found, _ = read_structures(tmp_path / "a.nrrd", case)
    assert [s.name for s in found] == ["a 1", "a 2", "a 3"]
    assert all(np.array_equal(s.mask.dense(SHAPE), array == i) for i, s in enumerate(found, 1))
    nrrd.write(str(tmp_path / "a.nrrd"), array.T / 7, header)
    with pytest.raises(UserError, match="aren't whole numbers"):
        read_structures(tmp_path / "a.nrrd", case)


def test_large_and_few_labels(tmp_path: Path) -> None:
    case, array = make_case(), labels().astype(np.int32) * 1_000_003
    found, _ = read_structures(save(tmp_path / "a.nii", array, case.volume.grid), case)
    assert [s.name for s in found] == ["a 1000003", "a 2000006", "a 3000009"]
    assert all(np.array_equal(s.mask.dense(SHAPE), array == i * 1_000_003) for i, s in enumerate(found, 1))


def test_refusals(tmp_path: Path) -> None:
    case = make_case()
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    ct = make_ct(tmp_path / "ct", SHAPE)
    for path, message in (
        (tmp_path / "none", "There is no file"), (tmp_path / "a.txt", "holds no structures"),
        (tmp_path / "empty", "no masks"), (ct.files[0], "is a DICOM CT, which holds no structures"),
        (ct.folder, r"is a DICOM CT.* The other 6 files can't be used either"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            read_structures(path, case)
    assert CT_IMAGE
    with pytest.raises(UserError, match="looks like an image"):
        read_structures(save(tmp_path / "b.nii", labels().astype(np.int16) - 1, case.volume.grid), case)
    shifted = Grid.from_spacing(SHAPE, (2.5, 1.3, 0.8), case.volume.grid.origin_lps + np.array([0, 0.02, 0]))
    path = save(tmp_path / "c.nii", labels(1), shifted)
    with pytest.raises(UserError, match=r"its voxels lie 0\.02 mm beside"):
        read_structures(path, case)
    assert len(read_structures(path, case, tolerance_mm=0.05)[0]) == 1


def test_a_hundred_masks_never_lie_in_memory_at_once(tmp_path: Path) -> None:
    shape = (40, 128, 128)
    case = make_case(shape)
    bits = np.zeros(shape, np.uint8)
    bits[10:14, 30:40, 50:60] = 1
    first = save(tmp_path / "m000.nii.gz", bits, case.volume.grid)
    for i in range(1, 117):
        shutil.copyfile(first, tmp_path / f"m{i:03d}.nii.gz")
    tracemalloc.start()
    found, _ = read_structures(tmp_path, case)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 117 and peak < 8 * bits.nbytes


def test_progress_is_told(tmp_path: Path) -> None:
    case = make_case()
    for name in "ab":
        save(tmp_path / f"{name}.nii", labels(1), case.volume.grid)
    steps = []
    run(import_structures(tmp_path, case), steps.append)
    assert [(s.done, s.total, s.text) for s in steps] == [(0, 2, "Reading a.nii"), (1, 2, "Reading b.nii")]


def test_real_label_maps(shared_data: Path) -> None:
    folder = shared_data / "abdomen_nifti"
    case = read_image_file(folder / "example_ct_sm.nii.gz")
    found, notes = read_structures(folder / "example_seg.nii.gz", case)
    truth = np.asarray(nib.load(folder / "example_seg.nii.gz").dataobj).T
    assert notes == () and len(found) == len(np.unique(truth)) - 1
    named = {s.name: s.mask.dense(case.volume.grid.shape) for s in found}
    assert np.array_equal(named["spleen"], truth == 1) and np.array_equal(named["liver"], truth == 5)
    # The same patient as DICOM with its UIDs blanked, and TotalSegmentator's NIfTI of it.
    ct = run(read_series(next(s for s in run(scan(shared_data / "abdomen_dicom" / "ct")) if s.usable)))
    path = shared_data / "abdomen_dicom" / "reference_seg.nii.gz"
    found, notes = read_structures(path, ct)
    image = nib.load(path)
    for one in found[:5]:
        index = np.argwhere(one.mask.dense(ct.volume.grid.shape))
        at = ct.volume.grid.to_world(index) * [-1, -1, 1]
        back = np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), at)).astype(int)
        values = np.unique(np.asarray(image.dataobj)[tuple(back.T)])
        assert len(values) == 1 and np.count_nonzero(np.asarray(image.dataobj) == values[0]) == len(index)
