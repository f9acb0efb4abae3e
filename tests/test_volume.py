"""Volume: shapes that must agree, and the box round the patient."""

import numpy as np
import pytest

from contourdesk.app.geometry import Grid
from contourdesk.app.volume import Volume


def _volume(array: np.ndarray, unit: str = "HU") -> Volume:
    return Volume(Grid(array.shape, np.diag([3.0, 1.0, 1.0, 1.0])), array, unit)


def test_array_and_grid_must_agree_and_the_array_is_read_only() -> None:
    with pytest.raises(ValueError, match="shape"):
        Volume(Grid((2, 3, 4), np.eye(4)), np.zeros((2, 3, 5)))
    volume = _volume(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1  # type: ignore[index]


def test_body_box_frames_the_patient_and_not_a_speck_of_couch() -> None:
    array = np.full((40, 200, 300), -1000, np.int16)
    array[5:30, 60:140, 100:250] = 20
    array[10, 190, 20:24] = 100
    box = _volume(array).body_box()
    for found, wanted in zip(box, (slice(5, 30), slice(60, 140), slice(100, 250)), strict=True):
        assert wanted.start - 6 <= found.start <= wanted.start
        assert wanted.stop <= found.stop <= wanted.stop + 6


def test_body_box_is_the_whole_grid_where_nothing_is_known() -> None:
    air, dose = np.full((4, 5, 6), -1000, np.int16), np.ones((4, 5, 6), np.float32)
    assert _volume(air).body_box() == _volume(dose, "Gy").body_box() == (slice(0, 4), slice(0, 5), slice(0, 6))
