"""Structures between the original slices of a resampled series and its even grid, both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from phantoms import CtPhantom, Roi, make_rtstruct
from pydicom import dcmread
from tilted_phantoms import (
    CENTRE,
    CHANGING,
    EVEN,
    ellipse_on,
    ellipsoid_ct,
    in_ellipsoid,
    resampled,
    voxel_centres,
)

from contourdesk.app.case import Case
from contourdesk.app.dicom_write import write_rtstruct
from contourdesk.app.resample import Resample
from contourdesk.app.resample_masks import (
    between,
    mask_on_grid,
    masks_on_original_planes,
    pieces_on_original_planes,
)
from contourdesk.app.review import ReviewSession
from contourdesk.app.rtstruct_read import read_rtstruct
from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet


def tilted(tmp_path: Path, places: list[float]) -> tuple[CtPhantom, Case, Resample]:
    ct = ellipsoid_ct(tmp_path / "ct", places)
    return ct, *resampled(tmp_path / "ct")


def ellipse_rois(ct: CtPhantom, how: Resample) -> list[Roi]:
    outlines = [(k, ellipse_on(how, k)) for k in range(len(how.planes))]
    return [Roi("Ball", [("CLOSED_PLANAR", o, ct.image_uids[k]) for k, o in outlines if o is not None])]


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2 * float(np.count_nonzero(a & b)) / float(a.sum() + b.sum())


def structure(case: Case, bits: NDArray[np.bool_], name: str = "Drawn") -> Structure:
    return Structure(name, (200, 30, 30), Mask.from_dense(bits), Provenance("reviewer"))


@pytest.mark.parametrize("places", [EVEN, CHANGING])
def test_contours_on_the_original_planes_are_shown_in_their_place(tmp_path: Path, places: list[float]) -> None:
    ct, case, how = tilted(tmp_path, places)
    path = make_rtstruct(tmp_path / "rs.dcm", ct, ellipse_rois(ct, how))
    (ball,) = read_rtstruct(path, case)
    points = voxel_centres(case.volume.grid)
    shown, truth = ball.mask.dense(case.volume.grid.shape), in_ellipsoid(points)
    assert dice(shown, truth) >= 0.98
    # Where the distance is 3 mm, how far the last slice is from the end makes a twentieth of that.
    assert np.abs(points[shown].mean(axis=0) - CENTRE).max() < (0.1 if places is EVEN else 0.15)
    if places is EVEN:  # every slice of the grid is an original one: exact but for the 400 corners of the outline
        assert dice(shown, truth) > 0.999


@pytest.mark.parametrize("places", [EVEN, CHANGING])
def test_imported_contours_come_back_point_for_point(tmp_path: Path, places: list[float]) -> None:
    ct, case, how = tilted(tmp_path, places)
    rois = ellipse_rois(ct, how)
    structures = read_rtstruct(make_rtstruct(tmp_path / "rs.dcm", ct, rois), case)
    written = dcmread(write_rtstruct(case, structures, tmp_path / "out.dcm"))
    items = written.ROIContourSequence[0].ContourSequence
    assert len(items) == len(rois[0].contours)
    for item, (_, points, uid) in zip(items, rois[0].contours, strict=True):
        assert item.ContourImageSequence[0].ReferencedSOPInstanceUID == uid
        assert np.abs(np.array(item.ContourData, float).reshape(-1, 3) - points).max() < 1e-4


@pytest.mark.parametrize("places", [EVEN, CHANGING])
def test_drawn_masks_are_written_on_the_original_planes(tmp_path: Path, places: list[float]) -> None:
    ct, case, how = tilted(tmp_path, places)
    bits = in_ellipsoid(voxel_centres(case.volume.grid))
    bits[:, 30:33, 25:28] = False  # a hole
    drawn = structure(case, bits)
    path = write_rtstruct(case, [drawn], tmp_path / "out.dcm")
    number = {uid: k for k, uid in enumerate(ct.image_uids)}
    for item in dcmread(path).ROIContourSequence[0].ContourSequence:
        points = np.array(item.ContourData, float).reshape(-1, 3)
        k = number[item.ContourImageSequence[0].ReferencedSOPInstanceUID]
        assert np.abs((points - how.planes.origins_lps[k]) @ how.planes.normal).max() < 1e-3
    (back,) = read_rtstruct(path, case)
    want = masks_on_original_planes(drawn.mask, how)
    assert how.planes.rasterise(back.contours).mask.equals(want)
    if places is EVEN:
        assert back.mask.equals(drawn.mask)  # nothing at all is lost
    else:
        assert dice(back.mask.dense(bits.shape), bits) > 0.95


@pytest.mark.parametrize("places", [EVEN, CHANGING])
def test_masks_on_the_original_planes_are_in_their_place(tmp_path: Path, places: list[float]) -> None:
    _, case, how = tilted(tmp_path, places)
    mask = Mask.from_dense(in_ellipsoid(voxel_centres(case.volume.grid)))
    on_planes = masks_on_original_planes(mask, how).dense((len(how.planes), *how.planes.shape))
    points = np.stack([voxel_centres(how.planes.grid_of(k))[0] for k in range(len(how.planes))])
    assert dice(on_planes, in_ellipsoid(points)) > 0.97
    weights = np.gradient(how.planes.at_mm)[:, None, None] * on_planes
    assert np.abs((points * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum() - CENTRE).max() < 0.15


def test_way_there_and_back_loses_nothing_where_slices_lie_on_the_grid(tmp_path: Path) -> None:
    _, _, how = tilted(tmp_path, EVEN)
    rng = np.random.default_rng(3)
    # Anything at all, but only where the original slices are.
    on_planes = Mask.from_dense(rng.random((len(how.planes), *how.planes.shape)) < 0.3)
    on_grid = mask_on_grid(on_planes, how)
    assert on_grid.count == on_planes.count
    assert masks_on_original_planes(on_grid, how).equals(on_planes)
    assert mask_on_grid(masks_on_original_planes(on_grid, how), how).equals(on_grid)
    pieces = list(pieces_on_original_planes(on_grid, how))
    assert sum(p.mask.count for p in pieces) == on_planes.count
    assert mask_on_grid(Mask(), how).is_empty and masks_on_original_planes(Mask(), how).is_empty
    assert not list(pieces_on_original_planes(Mask(), how))


def test_single_voxels_everywhere_come_back(tmp_path: Path) -> None:
    _, _, how = tilted(tmp_path, CHANGING)
    rng = np.random.default_rng(4)
    for k, r, c in zip(*(rng.integers(0, n, 60) for n in (len(how.planes), *how.planes.shape)), strict=True):
        on_planes = Mask((int(k), int(r), int(c)), np.ones((1, 1, 1), bool))
        at = float(how.plane_at[k])
        on_grid = mask_on_grid(on_planes, how)
        if at.is_integer():
            assert masks_on_original_planes(on_grid, how).equals(on_planes)
        else:  # shown on one of the slices next to it, or on neither when both are nearer to another
            assert on_grid.is_empty or abs(on_grid.offset[0] - at) < 1


@pytest.mark.parametrize("places", [EVEN, CHANGING])
def test_an_edit_redraws_the_slices_it_touches_alone(tmp_path: Path, places: list[float]) -> None:
    ct, case, how = tilted(tmp_path, places)
    (ball,) = read_rtstruct(make_rtstruct(tmp_path / "rs.dcm", ct, ellipse_rois(ct, how)), case)
    session = ReviewSession(case, structures=StructureSet(case.volume.grid, (ball,)))
    slice_drawn = int(np.round(how.plane_at[len(how.planes) - 8]))
    session.paint(ball.id, (slice_drawn, 20, 20), np.ones((1, 3, 3), bool))
    edited = session.structures.get(ball.id)
    path = write_rtstruct(case, [edited], tmp_path / "out.dcm")
    (back,) = read_rtstruct(path, case)
    redrawn = [k for k in range(len(how.planes)) if abs(how.plane_at[k] - slice_drawn) < 1]
    assert 1 <= len(redrawn) <= 2
    before, after = ({c.image_uid: c.points_lps for c in s.contours} for s in (ball, back))
    for k, uid in enumerate(ct.image_uids):
        if uid in before and k not in redrawn:
            assert np.abs(before[uid] - after[uid]).max() < 1e-4
    nearest = int(np.argmin(np.abs(how.plane_at - slice_drawn)))
    drawn = how.planes.rasterise(back.contours).mask.dense((len(how.planes), *how.planes.shape))[nearest]
    assert (
        drawn.sum()
        > how.planes.rasterise(ball.contours).mask.dense((len(how.planes), *how.planes.shape))[nearest].sum()
    )


def test_a_contour_on_one_slice_half_way_between_two_of_the_grid_is_shown_and_written(tmp_path: Path) -> None:
    places = [-42 + 2.0 * k for k in range(20)] + [-3 + 2.0 * k for k in range(15)]  # half a slice off from there on
    ct, case, how = tilted(tmp_path, places)
    lone = 21
    assert how.plane_at[lone] % 1 == pytest.approx(0.5)
    points = ellipse_on(how, lone)
    assert points is not None
    path = make_rtstruct(tmp_path / "rs.dcm", ct, [Roi("Lone", [("CLOSED_PLANAR", points, ct.image_uids[lone])])])
    (structure_read,) = read_rtstruct(path, case)
    assert structure_read.mask.bits.shape[0] == 1
    (piece,) = pieces_on_original_planes(structure_read.mask, how)
    assert abs(piece.plane - lone) <= 1


def test_shape_between_two() -> None:
    y, x = np.mgrid[:40, :40]
    small, large = ((y - 20) ** 2 + (x - 20) ** 2 <= r**2 for r in (5, 11))
    middle = between(small, large, 0.5, (1, 1))
    assert abs(np.sqrt(middle.sum() / np.pi) - 8) < 0.4
    far = np.roll(small, 15, axis=1)
    assert between(small, far, 0.4, (1, 1))[small].all()  # moved further than it is wide: the nearer one stays
    none = np.zeros_like(small)
    assert np.array_equal(between(small, none, 0.4, (1, 1)), small) and not between(small, none, 0.6, (1, 1)).any()
    assert np.array_equal(between(small, none, 0.5, (1, 1)), small)
    assert not between(small, none, 0.5, (1, 1), half=False).any()
    assert not between(none, small, 0.5, (1, 1), half=False).any()
    whole = np.ones_like(small)
    assert between(whole, whole, 0.3, (1, 1)).all() and between(whole, small, 0.01, (1, 1)).sum() > 1400
