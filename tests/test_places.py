"""Where jumps go."""

from __future__ import annotations

import numpy as np
import pytest

from contourdesk.app.places import central_voxel, end_voxel
from contourdesk.app.structures import Mask


def ring() -> Mask:
    bits = np.zeros((9, 21, 21), bool)
    bits[2:7, 3:18, 3:18] = True
    bits[2:7, 6:15, 6:15] = False
    bits[2, :, :10] = False
    return Mask.from_dense(bits, (10, 20, 30))


def test_the_middle_is_a_set_voxel():
    mask = ring()
    z, y, x = central_voxel(mask)
    assert mask.read((slice(z, z + 1), slice(y, y + 1), slice(x, x + 1))).all()
    assert z in (14, 15)
    full = Mask.from_dense(np.ones((3, 5, 7), bool), (1, 2, 3))
    assert central_voxel(full) == (2, 4, 6)


@pytest.mark.parametrize(("axis", "first", "last"), [(0, 12, 16), (1, 23, 37), (2, 33, 47)])
def test_first_and_last_slice(axis, first, last):
    mask = ring()
    for is_last, wanted in ((False, first), (True, last)):
        at = end_voxel(mask, axis, last=is_last)
        assert at[axis] == wanted
        assert mask.read(tuple(slice(i, i + 1) for i in at)).all()


def test_an_empty_mask_has_no_places():
    assert central_voxel(Mask()) is None
    assert end_voxel(Mask(), 0, last=True) is None
    assert central_voxel(Mask((0, 0, 0), np.zeros((2, 2, 2), bool))) is None
