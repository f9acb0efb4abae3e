from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from hands import structure
from phantoms import ORIENTATIONS

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.nifti_write import file_names, grid_to_sitk, sitk_to_grid, write_masks
from contourdesk.app.structures import Mask


def grid(cosines: tuple[float, ...]) -> Grid:
    along, down = np.array(cosines[:3]), np.array(cosines[3:])
    affine = np.eye(4)
    affine[:3] = np.column_stack([2.5 * np.cross(along, down), down * 0.9, along * 1.3, [-40.125, 33.5, -7.75]])
    return Grid((5, 9, 7), affine)


@pytest.mark.parametrize("cosines", ORIENTATIONS.values(), ids=ORIENTATIONS.keys())
def test_every_orientation_lies_where_it_should(tmp_path: Path, cosines: tuple[float, ...]) -> None:
    where = grid(cosines)
    bits = np.random.default_rng(1).random(where.shape) > 0.6
    (path,) = write_masks([structure("Parotid_R", bits)], where, tmp_path / "new" / "folder")
    assert path.name == "Parotid_R.nii.gz"
    image = nibabel.load(path)
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(image.dataobj).T, bits)
    # nibabel counts (column, row, slice) and turns the first two world axes round.
    ours = np.diag([-1, -1, 1, 1]) @ where.affine[:, [2, 1, 0, 3]]
    assert np.allclose(image.affine, ours, atol=1e-4)
    assert sorted(p.name for p in path.parent.iterdir()) == ["Parotid_R.nii.gz"]


def test_grid_there_and_back() -> None:
    where = grid(ORIENTATIONS["oblique"])
    back = sitk_to_grid(grid_to_sitk(np.zeros(where.shape, np.uint8), where))
    assert back.shape == where.shape
    assert np.allclose(back.affine, where.affine, atol=1e-9)


def test_file_names_are_safe_and_different() -> None:
    names = ["A/B", "a b", "a.b", "../../x", "CON", "Drüse", "", "...", "Lesion", "lesion"]
    out = file_names(names)
    assert out == ["A_B", "a_b_2", "a_b_3", "x", "CON_", "Drüse", "structure", "structure_2", "Lesion", "lesion_2"]


def test_old_files_stay_when_writing_fails(tmp_path: Path) -> None:
    where = grid(ORIENTATIONS["axial"])
    bits = np.zeros(where.shape, bool)
    bits[2, 3, 4] = True
    (path,) = write_masks([structure("Heart", bits)], where, tmp_path)
    before = path.read_bytes()
    skewed = where.affine.copy()
    skewed[0, 0] = 1.5  # NIfTI files that ITK reads hold no shear
    with pytest.raises(UserError):
        write_masks([structure("Heart", bits)], Grid(where.shape, skewed), tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["Heart.nii.gz"]


def test_empty_masks_are_written_as_such(tmp_path: Path) -> None:
    where = grid(ORIENTATIONS["axial"])
    empty = structure("Nothing", np.zeros(where.shape, bool))
    assert empty.mask.equals(Mask())
    (path,) = write_masks([empty], where, tmp_path)
    assert not np.asarray(nibabel.load(path).dataobj).any()
