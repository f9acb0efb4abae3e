"""Edits as differences: exact, small, under a budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contourdesk.app.geometry import Grid
from contourdesk.app.history import Edit, EditHistory, MaskStep, PresenceStep, mask_step, pack, unpack, write_mask
from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet

GRID = Grid.from_spacing((5, 6, 7), (1, 1, 1))
SPARSE = st.sampled_from([False] * 9 + [True])


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=6)))
def test_packing_is_exact(bits: np.ndarray) -> None:
    assert np.array_equal(unpack(pack(bits), bits.shape), bits)
    assert unpack(pack(bits), bits.shape).shape == bits.shape


@settings(deadline=None)
@given(
    hnp.arrays(bool, (5, 6, 7), elements=SPARSE),
    st.tuples(*[st.integers(0, 3)] * 3),
    hnp.arrays(bool, (2, 3, 4), elements=SPARSE),
)
def test_writing_a_box_equals_the_plain_way(start: np.ndarray, offset: tuple[int, int, int], bits: np.ndarray) -> None:
    plain = start.copy()
    plain[offset[0] : offset[0] + 2, offset[1] : offset[1] + 3, offset[2] : offset[2] + 4] = bits
    mask = Mask.from_dense(start)
    written = write_mask(mask, offset, bits)
    assert np.array_equal(written.dense(GRID.shape), plain)
    assert written.box == Mask.from_dense(plain).box
    structure = Structure("a", (0, 0, 0), mask, Provenance("reviewer"), id="a")
    step = mask_step(structure, offset, bits)
    assert (step is None) == np.array_equal(plain, start)
    if step is not None:
        changed = np.argwhere(plain != start)
        assert [s.start for s in step.box] == changed.min(axis=0).tolist()
        assert [s.stop - 1 for s in step.box] == changed.max(axis=0).tolist()
        items = StructureSet(GRID, (structure,))
        done = step.apply(items, True)
        assert np.array_equal(done.get("a").mask.dense(GRID.shape), plain)
        assert np.array_equal(step.apply(done, False).get("a").mask.dense(GRID.shape), start)


def edit(size: int) -> Edit:
    return Edit("brush", str(size), (MaskStep("a", (0, 0, 0), (1, 1, 1), b"", bytes(size)),))


def test_the_oldest_are_forgotten_first_and_the_last_never() -> None:
    history = EditHistory(budget=100)
    for size in (40, 41, 42):
        history.push(edit(size))
    assert [e.text for e in history.done] == ["41", "42"]
    history.push(edit(1000))
    assert [e.text for e in history.done] == ["1000"]
    assert history.undo() is not None
    assert history.undo() is None
    assert history.redo() is not None
    assert history.redo() is None
    history.undo()
    history.push(edit(1))
    assert history.undone == []


def test_a_stroke_is_stored_as_its_difference() -> None:
    """A 40 mm disc on a 512 x 512 x 300 scan takes a few hundred bytes."""
    bits = np.zeros((1, 512, 512), bool)
    bits[0, 200:240, 100:140] = True
    structure = Structure("a", (0, 0, 0), Mask(), Provenance("reviewer"), id="a")
    step = mask_step(structure, (150, 0, 0), bits)
    assert step is not None
    assert step.nbytes == 2 * 40 * 40 // 8


def test_an_edit_that_does_not_fit_is_refused() -> None:
    structure = Structure("a", (0, 0, 0), Mask(), Provenance("reviewer"), id="a")
    items = StructureSet(GRID, (structure,))
    with pytest.raises(KeyError):
        PresenceStep(structure, 0, added=True).apply(items, True)
    with pytest.raises(KeyError):
        PresenceStep(structure, 0, added=False).apply(StructureSet(GRID), True)
    with pytest.raises(ValueError, match="bytes of bits"):
        MaskStep("a", (0, 0, 0), (4, 4, 4), b"", b"").apply(items, True)
