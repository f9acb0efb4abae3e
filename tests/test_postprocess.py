"""Post-processing against nnU-Net's own function."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from contourdesk.inference.plans import Labels
from contourdesk.inference.postprocess import KeepLargest, apply_steps

PLAIN = Labels(("a", "b", "c"), numbers=(1, 2, 3))
NESTED = Labels(("whole", "core", "inner"), ((1, 2, 3), (2, 3), (3,)), (1, 2, 3), (1, 2, 3))
STEPS = [(KeepLargest((1, 2, 3)),), (KeepLargest((2,)), KeepLargest((3,))), (KeepLargest((2, 3)),)]


@pytest.fixture
def blobs() -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(2).normal(0, 1, (14, 30, 30)), 1.5)
    return np.digitize(noise, np.quantile(noise, [0.8, 0.9, 0.96])).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("steps", STEPS)
def test_labels(blobs: np.ndarray, steps: tuple[KeepLargest, ...]):
    from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

    theirs = blobs
    for step in steps:
        theirs = remove_all_but_largest_component_from_segmentation(theirs, list(step.numbers))
    ours = blobs.copy()
    apply_steps(ours, PLAIN, steps)
    assert np.array_equal(ours, theirs)
    assert not np.array_equal(ours, blobs)


@pytest.mark.parametrize("steps", STEPS)
def test_regions(blobs: np.ndarray, steps: tuple[KeepLargest, ...]):
    labels = blobs.copy()
    apply_steps(labels, PLAIN, steps)
    regions = np.stack([np.isin(blobs, r) for r in NESTED.regions])
    apply_steps(regions, NESTED, steps)
    for found, numbers in zip(regions, NESTED.regions, strict=True):
        assert np.array_equal(found, np.isin(labels, numbers))


def test_nothing_there():
    empty = np.zeros((3, 4, 5), np.uint8)
    apply_steps(empty, PLAIN, STEPS[0])
    assert not empty.any()
