"""Defacing, on a head made of ellipsoids whose nose is where it should be."""

from __future__ import annotations

import numpy as np
import pytest
from hands import structure

from contourdesk.app.deface import AIR_HU, DEPTH_MM, MARGIN_MM, find_face
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.volume import Volume

SPACING = (3.0, 2.0, 2.0)


def head(shape: tuple[int, int, int] = (100, 120, 100)) -> np.ndarray:
    """HU (z up, y back, x left): neck, head with vertex in the scan, nose in front, couch behind."""
    z, y, x = (index * s for index, s in zip(np.ogrid[tuple(slice(0, n) for n in shape)], SPACING, strict=True))
    inside = ((z - 180) / 105) ** 2 + ((y - 120) / 90) ** 2 + ((x - 100) / 72) ** 2 <= 1
    inside |= (z < 140) & (((y - 140) / 55) ** 2 + ((x - 100) / 55) ** 2 <= 1)
    inside |= ((z - 170) / 18) ** 2 + ((y - 32) / 16) ** 2 + ((x - 100) / 12) ** 2 <= 1
    hu = np.where(inside, 40, -1000).astype(np.int16)
    hu[:, 116:118, 10:90] = 100
    return hu


def volume(array: np.ndarray, flips: bool = False) -> Volume:
    grid = Grid.from_spacing(array.shape, SPACING, (-100, -120, -150))
    if flips:  # the same head, stored from top to bottom and from back to front
        affine = grid.affine.copy()
        affine[:3, 3] = grid.to_world((array.shape[0] - 1, array.shape[1] - 1, 0))
        affine[:3, 0] *= -1
        affine[:3, 1] *= -1
        return Volume(Grid(array.shape, affine), array[::-1, ::-1].copy())
    return Volume(grid, array)


def test_the_face_goes_and_the_rest_stays() -> None:
    array = head()
    done = find_face(volume(array), [])
    out = done.apply(array)
    gone = out != array
    assert gone.any() and (out[gone] == AIR_HU).all()
    assert (out[52:61, :22] < -500).all(), "no nose is left"
    assert not gone[:, 70:].any(), "nothing behind the middle of the head changes"
    assert not gone[92:].any(), "the vertex stays"
    assert not gone[:8].any(), "the neck stays"
    profile = [(out[k] > -300).any(axis=1).argmax() for k in range(45, 70)]
    was = [(array[k] > -300).any(axis=1).argmax() for k in range(45, 70)]
    assert max(profile) - min(profile) < (max(was) - min(was)) / 1.5, "the profile is flattened"
    assert min(np.subtract(profile, was)) * SPACING[1] >= DEPTH_MM - 25
    across = (out[56] > -300).argmax(axis=0)[45:56]
    assert len(set(across)) == 1, "straight across"
    assert f"{done.face_ml:.0f} ml" in done.text


def test_it_is_the_same_whichever_way_the_image_is_stored() -> None:
    array = head()
    one, other = find_face(volume(array), []), find_face(volume(array, flips=True), [])
    assert (
        np.array_equal(one.face.dense(array.shape), other.face.dense(array.shape)[::-1, ::-1])
        and one.text == other.text
    )


def test_structures_stay_with_a_margin() -> None:
    array = head()
    bits = np.zeros(array.shape, bool)
    bits[60:63, 24:28, 44:48] = True
    kept = structure("Lens_L", bits)
    done = find_face(volume(array), [kept])
    face = done.face.dense(array.shape)
    assert done.kept_ml > 0
    grown = np.argwhere(bits) * SPACING
    near = np.argwhere(face) * SPACING
    distance = np.sqrt(((near[:, None, :] - grown[None, ::7, :]) ** 2).sum(-1)).min()
    assert distance > MARGIN_MM - 1e-6


def test_what_lies_in_the_face_stops_it() -> None:
    array = head()
    with pytest.raises(UserError, match="Body lie in it"):
        find_face(volume(array), [structure("Body", array > -300)])


def test_no_head() -> None:
    wide = np.full((40, 120, 180), -1000, np.int16)
    wide[:, 30:100, 10:170] = 40
    with pytest.raises(UserError, match="no head"):
        find_face(volume(wide), [])
    with pytest.raises(UserError, match="of a CT"):
        find_face(Volume(Grid.from_spacing((4, 4, 4), SPACING), np.zeros((4, 4, 4)), "SUV"), [])
