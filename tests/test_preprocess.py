"""Preprocessing against skimage and scipy, which nnU-Net calls."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import resize

from contourdesk.app.errors import UserError
from contourdesk.inference import preprocess as module
from contourdesk.inference.preprocess import (
    ct_normalise,
    nearest_index,
    nonzero_box,
    normalise,
    normaliser,
    resample,
    resample_one,
    resampled_shape,
    separate_axis,
)

PROPERTIES = {"percentile_00_5": -300.0, "percentile_99_5": 600.0, "mean": 100.0, "std": 250.0}


@pytest.fixture
def volume() -> np.ndarray:
    rng = np.random.default_rng(5)
    return ndimage.gaussian_filter(rng.normal(0, 1, (14, 23, 30)), 1).astype(np.float32)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("new_shape", [(9, 31, 22), (28, 23, 15), (14, 10, 61), (1, 23, 30)])
def test_resample_is_what_skimage_does(volume: np.ndarray, new_shape: tuple[int, int, int], order: int):
    ours = resample(volume[None], new_shape, (2, 2, 2), (2, 2, 2), order)[0]
    theirs = resize(volume.astype(np.float64), new_shape, order, mode="edge", clip=True, anti_aliasing=False)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order", [1, 3])
def test_a_coarse_axis_is_resampled_apart(volume: np.ndarray, axis: int, order: int):
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 5.0
    new_shape = [20, 17, 33]
    new_shape[axis] = volume.shape[axis] // 2  # halves fall exactly between two slices
    ours = resample(volume[None], new_shape, spacing, (1, 1, 1), order)[0]
    plane = [n for a, n in enumerate(new_shape) if a != axis]
    slices = np.moveaxis(volume.astype(np.float64), axis, 0)
    done = np.stack([resize(s, plane, order, mode="edge", anti_aliasing=False) for s in slices])
    scale = len(slices) / new_shape[axis]
    where = [scale * (np.arange(new_shape[axis]) + 0.5) - 0.5, *[np.arange(n) for n in plane]]
    theirs = ndimage.map_coordinates(done, np.meshgrid(*where, indexing="ij"), order=0, mode="nearest")
    np.testing.assert_allclose(ours, np.moveaxis(theirs, 0, axis), atol=1e-5)


def test_the_same_shape_is_left_alone(volume: np.ndarray):
    assert np.array_equal(resample(volume[None], volume.shape, (1, 1, 1), (1, 1, 1), 3)[0], volume)


def test_halves_go_upwards_as_in_scipy():
    assert nearest_index(8, 4).tolist() == [1, 3, 5, 7]
    assert nearest_index(3, 6).tolist() == [0, 0, 1, 1, 2, 2]


def test_which_axis_is_apart():
    assert separate_axis((5, 1, 1), (1, 1, 1)) == 0
    assert separate_axis((2, 1, 1), (1, 1, 4)) == 2
    assert separate_axis((3, 1, 1), (1, 1, 1)) is None  # three times is not more than three times
    assert separate_axis((0.2, 1, 1), (1, 1, 1)) is None  # two coarse axes
    assert separate_axis((5, 1, 1), (1, 1, 1), force=False) is None
    assert separate_axis((2, 1, 1), (1, 1, 1), force=True) == 0


def test_shape_after_resampling():
    assert resampled_shape((128, 55, 105), (2.0, 4.688, 4.688), (2.5, 3.9, 3.9)) == (102, 66, 126)


def test_normalisations():
    hu = np.array([[[-1024, 100, 3000]]], np.int16)
    np.testing.assert_allclose(ct_normalise(hu, PROPERTIES), [[[-1.6, 0.0, 2.0]]])
    assert normalise(hu, "ZScoreNormalization", {}).std() == pytest.approx(1)
    assert normalise(hu, "RescaleTo01Normalization", {}).max() == 1
    assert normalise(hu, "NoNormalization", {}).tolist() == hu.tolist()
    assert hu.tolist() == [[[-1024, 100, 3000]]]
    with pytest.raises(UserError, match="Magic"):
        normalise(hu, "MagicNormalization", {})


def test_crop():
    array = np.zeros((5, 6, 7), np.int16)
    assert nonzero_box(array) == (slice(0, 5), slice(0, 6), slice(0, 7))
    array[1, 2, 3] = array[3, 2, 5] = -7
    assert nonzero_box(array) == (slice(1, 4), slice(2, 3), slice(3, 6))


def test_scans_of_any_size_are_resampled_in_slabs(volume: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    whole = [resample(volume[None], (9, 31, 22), (2, 2, 2), new, 3) for new in ((2, 2, 2), (7, 1, 1), (1, 7, 1))]
    monkeypatch.setattr(module, "_SLAB_BYTES", 4 * 23 * 30 * 3)
    slabs = [resample(volume[None], (9, 31, 22), (2, 2, 2), new, 3) for new in ((2, 2, 2), (7, 1, 1), (1, 7, 1))]
    for a, b in zip(whole, slabs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_air_stays_of_one_value():
    array = np.full((60, 30, 30), -1024, np.int16)
    array[30:34, 10:20, 10:20] = 100
    norm = normaliser(array, "CTNormalization", PROPERTIES)
    out = resample_one(array, (93, 41, 23), None, 3, norm.apply)
    assert len(np.unique(out[:16])) == 1
    assert len(np.unique(out)) > 100


def test_masked_normalisation_leaves_the_rest_alone():
    array = np.array([[[0, 1, 2, 3, 0]]], np.int16)
    norm = normaliser(array, "ZScoreNormalization", {}, array > 0)
    out = norm.apply(array, (slice(0, 1),))
    assert out[0, 0, [0, 4]].tolist() == [0, 0]
    assert out[0, 0, 1:4].std() == pytest.approx(1)
    with pytest.raises(UserError, match="colour"):
        normaliser(array - 1, "RGBTo01Normalization", {})
