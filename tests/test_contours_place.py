"""Which slices contours belong to; what an edit, its undo, a save and an export leave of imported ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hands import load, read_contours
from numpy.typing import NDArray
from phantoms import CtPhantom, Roi, make_ct, make_rtstruct

from contourdesk.app.contour import Contour
from contourdesk.app.contours_place import EVERYWHERE, NOWHERE, left_to_draw, place
from contourdesk.app.dicom_write import write_rtstruct
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.journal import Journal
from contourdesk.app.project import load as load_review
from contourdesk.app.project import open_review, resume, save
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Structure

GRID = Grid.from_spacing((8, 40, 50), (3, 1, 1))
UIDS = [f"1.2.{k}" for k in range(8)]


def ring(k: float, radius: float = 6, kind: str = "CLOSED_PLANAR", uid: str = "", row: float = 18) -> Contour:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    index = np.column_stack([np.full(40, k), row + radius * np.sin(turn), 24 + radius * np.cos(turn)])
    return Contour(GRID.to_world(index), kind, uid)


def slices(*contours: Contour, uids: list[str] | None = None) -> list[int]:
    return place(contours, GRID, uids or []).slices.tolist()


@pytest.mark.parametrize(("off_mm", "slice_"), [(0, 2), (0.001, 2), (0.13, 2), (1.4, 2), (-1.4, 2), (1.6, 3)])
def test_nearest_slice(off_mm: float, slice_: int) -> None:
    assert slices(ring(2 + off_mm / 3)) == [slice_]


def test_half_way_between_slices_always_falls_to_one_side() -> None:
    jitter = [0, 0.0005, -0.0005, 0.003, -0.003]
    assert slices(*[ring(k + 0.5 + j) for k, j in enumerate(jitter)]) == [0, 1, 2, 3, 4]
    assert slices(ring(-0.5), ring(-0.503), ring(7.5), ring(-0.52), ring(7.52)) == [0, 0, 7, NOWHERE, NOWHERE]


def test_the_named_image_decides_where_it_is_near() -> None:
    assert slices(ring(2.5, uid=UIDS[3]), ring(2.45, uid=UIDS[3]), ring(2.3, uid=UIDS[3]), uids=UIDS) == [3, 3, 2]
    assert slices(ring(2.5, uid="9.9"), uids=UIDS) == [2]


def test_what_belongs_to_no_slice() -> None:
    contours = [ring(2, kind="OPEN_PLANAR"), Contour(ring(2).points_lps[:1], "POINT"),
                Contour(ring(2).points_lps[:2]), ring(12), ring(2, row=90), ring(4)]  # fmt: skip
    placement = place(contours, GRID)
    assert placement.slices.tolist() == [NOWHERE] * 5 + [4]
    assert (placement.off_slices, placement.off_plane) == (1, 1)


def test_of_several_planes_on_one_slice_the_nearest_counts() -> None:
    contours = [ring(1.7), ring(2.05), ring(2.1, 3), ring(2.4), ring(3)]
    placement = place(contours, GRID)
    assert placement.slices.tolist() == [2, 2, 2, 2, 3]
    assert placement.shown.tolist() == [False, True, True, False, True]


def test_other_planes_belong_everywhere() -> None:
    tilted = Contour(GRID.to_world(np.array([[2, 10, 10], [2, 10, 30], [3, 30, 30], [3, 30, 10]], float)))
    assert slices(tilted, ring(5)) == [EVERYWHERE, EVERYWHERE]


# -- through a session, a review folder and a file -----------------------------------------------------------------


def points(ct: CtPhantom, k: float, radius: float = 8.4) -> NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    index = [np.full(90, k), 30.3 + radius * np.sin(turn), 25.2 + radius * np.cos(turn), np.ones(90)]
    return (np.column_stack(index) @ ct.affine.T)[:, :3]


def organ(tmp_path: Path) -> tuple[CtPhantom, ReviewSession, str]:
    """Rings on slices 2 to 6, points and a line among them, one contour off the images."""
    ct = make_ct(tmp_path / "ct")
    contours = [("POINT", points(ct, 3)[:1], "")]
    for k in (2, 3.04, 4, 5, 6, 30):
        contours += [("CLOSED_PLANAR", points(ct, k, r), ct.image_uids[int(k)] if k < 9 else "") for r in (8.4, 4.2)]
    contours += [("OPEN_PLANAR", points(ct, 4), ct.image_uids[4]), ("CLOSED_PLANAR", points(ct, 4)[:2], "")]
    make_rtstruct(tmp_path / "ct" / "rs.dcm", ct, [Roi("Organ", contours)])
    session = ReviewSession(load(ct), "Eva Müller")
    return ct, session, session.structures.items[0].id


def stroke(session: ReviewSession, id_: str, k: int) -> None:
    session.paint(id_, (k, 30, 25), np.ones((1, 2, 2), bool))


def kept(structure: Structure) -> list[bytes]:
    return [c.points_lps.tobytes() for c in structure.contours or ()]


def test_an_edit_drops_the_contours_of_its_slices_and_undo_brings_them_back(tmp_path: Path) -> None:
    _, session, id_ = organ(tmp_path)
    (before,) = session.structures
    assert len(before.contours or ()) == 15
    assert left_to_draw(before, session.structures.grid).is_empty
    stroke(session, id_, 3)
    one = session.structures.get(id_)
    assert kept(one) == [c for i, c in enumerate(kept(before)) if i not in (3, 4)]
    drawn = left_to_draw(one, session.structures.grid, session.case.source.image_uids)
    assert (drawn.box[0], drawn.count) == (slice(3, 4), int(one.mask.dense(session.structures.grid.shape)[3].sum()))
    stroke(session, id_, 5)
    stroke(session, id_, 3)  # changes nothing
    two = session.structures.get(id_)
    assert kept(two) == [c for i, c in enumerate(kept(before)) if i not in (3, 4, 7, 8)]
    session.undo()
    assert kept(session.structures.get(id_)) == kept(one)
    session.redo()
    assert kept(session.structures.get(id_)) == kept(two)
    session.undo()
    session.undo()
    (after,) = session.structures
    assert after.contours == before.contours
    assert after.mask.equals(before.mask)


def test_an_edit_of_many_slices_drops_only_those_that_change(tmp_path: Path) -> None:
    _, session, id_ = organ(tmp_path)
    (before,) = session.structures
    bits = before.mask.bits.copy()
    bits[[0, 4]] = False  # erases slices 2 and 6 altogether
    session.paint(id_, before.mask.offset, bits, "erase")
    assert kept(session.structures.get(id_)) == [c for i, c in enumerate(kept(before)) if i not in (1, 2, 9, 10)]


def test_only_edited_slices_are_drawn_anew_in_the_file(tmp_path: Path) -> None:
    ct, session, id_ = organ(tmp_path)
    stroke(session, id_, 4)
    (structure,) = session.structures
    found = read_contours(write_rtstruct(session.case, [structure], tmp_path / "out.dcm"))["Organ"]
    source = read_contours(tmp_path / "ct" / "rs.dcm")["Organ"]
    # The two rings on slice 4 are gone; every other contour, points and lines too, comes back to the last digit.
    assert [p.tolist() for p in found[:13]] == [p.tolist() for i, p in enumerate(source) if i not in (5, 6)]
    assert len(found) == 14 + 1  # the ring with its keyhole, and what was painted in the hole
    heights = {float(z) for p in found[13:] for z in p[:, 2]}
    assert heights == {float(ct.affine[2, 3] + 4 * ct.affine[2, 0])}


def test_a_review_folder_and_its_journal_keep_it_exact(tmp_path: Path) -> None:
    _, session, id_ = organ(tmp_path)
    folder = tmp_path / "review"
    journal: Journal = run(open_review(session.snapshot(), folder))
    journal.attach(session)
    untouched = kept(session.structures.get(id_))
    stroke(session, id_, 3)
    run(save(session.snapshot(), folder))
    stroke(session, id_, 5)
    wanted = kept(session.structures.get(id_))
    journal.close()
    saved = run(load_review(folder, recover=True))
    assert kept(saved.structures.items[0]) == wanted
    again = resume(session.case, saved)
    again.undo()
    again.undo()
    assert kept(again.structures.get(id_)) == untouched
    assert json.loads((folder / "case.json").read_text("utf-8"))["structures"][0]["header"]["edited"]
