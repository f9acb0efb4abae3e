"""Smart brush and drafts on phantoms: exact voxels, in every plane, on anisotropic voxels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_limits import GRID, block, dense, fill, make_session

from contourdesk.app.draft import Draft
from contourdesk.app.footprints import stroke
from contourdesk.app.geometry import Grid
from contourdesk.app.limits import Limits, SliceRange
from contourdesk.app.smart_brush import Window, smart_stroke, window_at
from contourdesk.app.volume import Volume

SPACING = (3.0, 1.0, 1.5)
CT = Grid.from_spacing((20, 40, 30), SPACING)


def two_rods() -> Volume:
    """Soft tissue with two rods of 200 HU along each axis' middle, 12 mm apart, and one of 400 HU."""
    hu = np.full(CT.shape, 40, np.int16)
    hu[:, 18:22, 12:15] = 200
    hu[:, 18:22, 20:23] = 200
    hu[:, 28:32, 12:15] = 400
    return Volume(CT, hu)


@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_only_what_hangs_together_with_the_middle(axis) -> None:
    volume, centre = two_rods(), (10, 20, 13)
    offset, bits = smart_stroke(volume, [centre], 15.0, axis, Window(150, 250))
    got = np.zeros(CT.shape, bool)
    got[tuple(slice(o, o + n) for o, n in zip(offset, bits.shape, strict=True))] = bits
    z, y, x = np.ogrid[:20, :40, :30]
    index = np.sqrt(((z - 10) * 3.0) ** 2 + ((y - 20) * 1.0) ** 2 + ((x - 13) * 1.5) ** 2) <= 15
    wanted = index & (np.asarray(volume.array) == 200) & (x < 18)  # not the other rod, in reach as it is
    if axis is not None:
        wanted &= (z, y, x)[axis] == centre[axis]
    assert (got == wanted).all() and got.any()


def test_the_middle_decides() -> None:
    volume = two_rods()
    assert smart_stroke(volume, [(10, 10, 13)], 15.0, 0, Window(150, 250))[1].size == 0
    across = smart_stroke(volume, [(10, 20, 13), (10, 20, 21)], 2.0, 0, Window(150, 250))[1]
    assert across.any(axis=(0, 1)).sum() == 6  # both rods' columns, met on the way
    assert smart_stroke(volume, [(-50, 0, 0)], 2.0, 0, Window(0, 1))[1].size == 0


def test_the_window_comes_from_the_place() -> None:
    volume = two_rods()
    assert window_at(volume, (10, 20, 13), 0, 30) == Window(170, 230)
    noisy = np.array(volume.array)
    noisy[10, 20, 13] = 3000  # a single mad voxel decides nothing
    assert window_at(Volume(CT, noisy), (10, 20, 13), 0, 30) == Window(170, 230)
    assert window_at(volume, (10, 20, 99), 0, 30) is None
    assert window_at(volume, (0, 0, 0), 2, 5) == Window(35, 45)


def test_a_draft_is_what_the_session_will_hold() -> None:
    session = make_session()
    session.set_locked("gland", True)
    for limits in (Limits(), Limits(True), Limits(slices=SliceRange(0, 1, 2)), Limits(inside="body")):
        session.limits = limits
        draft = Draft(session.structures, "cord", limits)
        for point, erase in (((2, 4, 6), False), ((1, 0, 0), False), ((3, 4, 3), True), ((2, 4, 6.5), False)):
            draft.stamp(stroke(GRID, [point], 4.0), erase=erase)
        patch = draft.patch
        assert patch is not None
        shown = draft.mask.dense(GRID.shape)
        session.paint("cord", *patch)
        assert (dense(session, "cord") == shown).all()
        session.undo()
    session.limits = Limits()
    draft = Draft(session.structures, "cord", session.limits)
    draft.put(((0, 0, 0), np.ones(GRID.shape, bool)))
    assert (draft.mask.dense(GRID.shape) == fill(session, True)).all()


def test_a_draft_that_changes_nothing_has_no_patch() -> None:
    session = make_session()
    draft = Draft(session.structures, "cord", Limits())
    assert draft.patch is None
    cord = block(slice(1, 5), slice(3, 6), slice(2, 5))
    draft.stamp((cord.offset, cord.bits), erase=False)
    assert draft.patch is None and draft.mask.equals(cord)
    draft.stamp(((0, 0, 0), np.zeros((0, 0, 0), bool)), erase=True)
    assert draft.mask.equals(cord)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), empty=st.booleans(), margin=st.sampled_from([0, 1, 24]))
def test_a_draft_holds_any_changes_wherever_they_lie(seed: int, empty: bool, margin: int) -> None:
    rng = np.random.default_rng(seed)
    session = make_session()
    structure = session.add("Empty") if empty else "cord"
    wanted = dense(session, structure)
    draft = Draft(session.structures, structure, Limits())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("contourdesk.app.draft._MARGIN", margin)
        for _ in range(rng.integers(1, 6)):
            low = [int(rng.integers(n)) for n in GRID.shape]
            size = [int(rng.integers(1, n - a + 1)) for n, a in zip(GRID.shape, low, strict=True)]
            bits, offset = rng.random(size) < 0.5, (low[0], low[1], low[2])
            part = wanted[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))]
            kind = rng.integers(3)
            if kind == 2:
                draft.put((offset, bits))
                part[...] = bits
            else:
                draft.stamp((offset, bits), erase=bool(kind))
                part[...] = part & ~bits if kind else part | bits
            assert (draft.mask.dense(GRID.shape) == wanted).all()
    change = draft.patch
    if change is not None:
        session.paint(structure, *change)
    assert (dense(session, structure) == wanted).all()
