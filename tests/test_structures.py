"""Masks: the same voxels, whatever box they come in."""

import numpy as np
import pytest

from contourdesk.app.structures import Mask


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_a_mask_from_an_array_is_tight_and_its_own(kind: type) -> None:
    array = np.zeros((6, 7, 8), kind)
    array[2, 3:5, 4] = 1
    mask = Mask.from_dense(array, (10, 20, 30))
    assert mask.offset == (12, 23, 34) and mask.bits.shape == (1, 2, 1) and mask.count == 2
    array[:] = 0
    assert mask.count == 2


def test_the_tight_mask_is_the_same_mask() -> None:
    bits = np.random.default_rng(1).random((5, 6, 7)) < 0.05
    bits[:, 5] = bits[0] = False
    loose = Mask((1, 2, 3), bits)
    tight = loose.tight
    assert tight.equals(loose) and loose.equals(tight) and tight.tight.box == tight.box
    assert np.shares_memory(tight.bits, bits)
    assert (tight.dense((9, 9, 11)) == loose.dense((9, 9, 11))).all()
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        assert tight.bits.any(axis=others)[[0, -1]].all()


def test_empty_masks_are_one_and_the_same() -> None:
    empty = Mask((4, 5, 6), np.zeros((3, 2, 1), bool))
    assert empty.tight.bits.size == 0 and empty.equals(Mask()) and Mask.from_dense(empty.bits).equals(empty)
    assert not empty.equals(Mask((4, 5, 6), np.ones((3, 2, 1), bool)))
