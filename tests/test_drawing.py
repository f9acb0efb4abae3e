"""Drawing: the largest of the resized logits, whatever slabs they come in; regions; probabilities."""

import numpy as np
import pytest
import torch
from skimage.transform import resize

from contourdesk.inference import drawing as module
from contourdesk.inference.drawing import Drawing, paint_regions
from contourdesk.inference.plans import Labels, label_map
from contourdesk.inference.preprocess import resample
from contourdesk.inference.sliding_window import Slab

PLAIN = Labels(("a", "b", "c"), numbers=(1, 2, 3))
NESTED = Labels(("whole", "core", "inner"), ((1, 2, 3), (2, 3), (3,)), (1, 2, 3), (1, 2, 3))


def draw(logits: np.ndarray, new, axis=None, labels=PLAIN, wanted=None, depth=3, keep=()) -> Drawing:
    wanted = wanted or tuple(slice(0, n) for n in new)
    drawing = Drawing(labels, logits.shape[1:], new, wanted, axis, half=False, keep=keep)
    part = torch.from_numpy(logits)[(slice(None), *drawing.region)]
    for start in range(0, part.shape[1], depth):
        list(drawing.add(Slab(start, part[:, start : start + depth])))
    return drawing


@pytest.mark.parametrize("depth", [1, 3, 50])
@pytest.mark.parametrize("new", [(12, 25, 31), (4, 9, 10), (7, 40, 6), (3, 11, 10), (7, 11, 10)])
def test_labels_are_the_largest_of_the_resized_logits(new, depth: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_BUDGET_BYTES", 12 * 4 * 3 * new[1] * new[2])
    logits = np.random.default_rng(1).normal(0, 1, (4, 7, 11, 10)).astype(np.float32)
    theirs = np.stack([resize(c, new, 1, mode="edge", anti_aliasing=False) for c in logits])
    out = draw(logits, new, depth=depth).found
    clear = np.diff(np.sort(theirs, axis=0)[-2:], axis=0)[0] > 1e-4
    assert np.array_equal(out[clear], theirs.argmax(0)[clear])
    assert clear.mean() > 0.99


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_axis_apart_and_a_part_of_the_image(axis: int):
    logits = np.random.default_rng(2).normal(0, 1, (4, 6, 8, 10)).astype(np.float32)
    new = [11, 13, 9]
    new[axis] = 3
    theirs = resample(logits, new, [5.0 if a == axis else 1.0 for a in range(3)], (1, 1, 1), 1)
    clear = np.diff(np.sort(theirs, axis=0)[-2:], axis=0)[0] > 1e-4
    out = draw(logits, tuple(new), axis).found
    assert np.array_equal(out[clear], theirs.argmax(0)[clear])
    box = tuple(slice(1, n - 1) for n in new)
    assert np.array_equal(draw(logits, tuple(new), axis, wanted=box).found, out[box])


def test_only_where_an_organ_can_be_is_looked_at():
    logits = np.zeros((4, 8, 20, 20), np.float32)
    logits[0] = 1
    logits[2, 3:5, 8:12, 2:5] = 3
    theirs = np.stack([resize(c, (16, 41, 39), 1, mode="edge", anti_aliasing=False) for c in logits])
    out = draw(logits, (16, 41, 39)).found
    assert np.array_equal(out, theirs.argmax(0))
    assert out.any()


def test_nested_regions_are_those_of_nnunets_label_map():
    logits = np.random.default_rng(3).normal(0, 1, (3, 5, 9, 9)).astype(np.float32)
    out = draw(logits, (5, 9, 9), labels=NESTED).found
    painted = np.zeros((5, 9, 9), int)
    for channel, number in zip(logits, NESTED.order, strict=True):
        painted[channel > 0] = number
    assert np.array_equal(label_map(out, NESTED), painted)
    for mask, numbers in zip(out, NESTED.regions, strict=True):
        assert np.array_equal(mask, np.isin(painted, numbers))


def test_regions_that_overlap_in_part_both_keep_their_voxels():
    labels = Labels(("a", "b", "other"), ((1, 3), (2, 3), (4,)), (1, 2, 4), (1, 2, 3, 4))
    on = torch.tensor([[True, True, True], [False, True, True], [False, False, True]])
    assert paint_regions(on, labels).tolist() == [[True, True, False], [False, True, False], [False, False, True]]


def test_probabilities_in_a_box():
    logits = np.zeros((4, 6, 12, 12), np.float32)
    logits[0] = 12
    logits[2, 2:4, 5:8, 4:6] = 12
    drawing = draw(logits, (6, 12, 12), keep=(1, 2))
    assert drawing.probabilities(1) is None
    start, values = drawing.probabilities(2)
    assert start == (2, 5, 4)
    assert values.shape == (2, 3, 2)
    assert set(values.ravel().tolist()) <= {127, 128}
