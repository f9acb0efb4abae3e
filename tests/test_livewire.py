"""The livewire on shapes whose outline is known, on pixels of any shape, and how quick a mouse move is."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from contourdesk.app.contours_raster import fill_polygons
from contourdesk.app.livewire import Livewire

SHAPE = (120, 150)


def disc(spacing, centre_mm, radius_mm, noise=8.0, blur=0.7):
    """A disc with soft edges, as a scanner makes it, and its true inside."""
    fine = 5
    down, across = ((np.arange(n * fine) + 0.5) / fine - 0.5 for n in SHAPE)
    inside = np.hypot(
        (down * spacing[0] - centre_mm[0])[:, None], (across * spacing[1] - centre_mm[1])[None]
    ) <= radius_mm  # fmt: skip
    share = inside.reshape(SHAPE[0], fine, SHAPE[1], fine).mean(axis=(1, 3))
    image = ndimage.gaussian_filter(100 * share, blur) + np.random.default_rng(0).normal(0, noise, SHAPE)
    return np.round(image).astype(np.int16), share >= 0.5


def area_mm2(outline, spacing):
    y, x = outline[:, 0] * spacing[0], outline[:, 1] * spacing[1]
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 1.0), (0.7, 1.4)])
def test_four_clicks_beside_the_edge_give_the_disc(spacing):
    centre, radius = (60 * spacing[0], 75 * spacing[1]), 30.0 * min(1.0, min(spacing))
    image, truth = disc(spacing, centre, radius)
    wire = Livewire(image, spacing, (50, 300))
    for angle in (0.1, 1.7, 3.2, 4.8):  # a pixel off the edge
        at = np.add(centre, radius * np.array([np.sin(angle), np.cos(angle)])) / spacing
        wire.add((at[0] + 0.8, at[1] - 0.7))
    outline = wire.closed()
    away = np.hypot(outline[:, 0] * spacing[0] - centre[0], outline[:, 1] * spacing[1] - centre[1]) - radius
    assert np.abs(away).mean() < 0.4 * max(spacing)
    assert abs(area_mm2(outline, spacing) / (np.pi * radius**2) - 1) < 0.04
    filled = fill_polygons([outline], SHAPE)
    assert 2 * (filled & truth).sum() / (filled.sum() + truth.sum()) > 0.96


def test_the_way_clings_to_the_edge_and_not_to_the_straight_line():
    image, _ = disc((1.0, 1.0), (60.0, 75.0), 30.0)
    wire = Livewire(image, (1.0, 1.0))
    wire.add((60.0, 45.0))
    way = wire.way_to((60.0, 105.0))  # straight on is through the middle
    assert np.abs(np.hypot(way[:, 0] - 60, way[:, 1] - 75) - 30).max() < 2.0
    assert tuple(way[0]) == wire.anchors[0] and tuple(way[-1]) == (60.0, 105.0)


def test_only_edges_in_the_window_count():
    """A bright bar outshines a faint disc, unless the display window hides it."""
    image, _ = disc((1.0, 1.0), (60.0, 75.0), 25.0, noise=2.0)
    image = image.astype(np.int16)
    image[28:32, :] = 2000
    wire = Livewire(image, (1.0, 1.0), (50, 160))
    wire.add((60.0, 50.0))
    way = wire.way_to((60.0, 100.0))
    assert np.abs(np.hypot(way[:, 0] - 60, way[:, 1] - 75) - 25).mean() < 1.5


def test_points_can_be_taken_back():
    image, _ = disc((1.0, 1.0), (60.0, 75.0), 30.0)
    wire = Livewire(image, (1.0, 1.0))
    wire.take_back()
    assert len(wire.outline) == 0
    with pytest.raises(ValueError, match="no point"):
        wire.way_to((3, 3))
    wire.add((60.0, 45.0))
    with pytest.raises(ValueError, match="two points"):
        wire.closed()
    one = wire.outline
    wire.add((30.0, 75.0))
    two = wire.outline
    wire.add((60.0, 105.0))
    wire.take_back()
    assert np.array_equal(wire.outline, two)
    wire.take_back()
    assert np.array_equal(wire.outline, one)
    wire.add((60.3, 45.2))  # a double click is one point
    assert len(wire.anchors) == 1


def test_at_the_border_and_on_a_flat_plane():
    flat = np.zeros((40, 50), np.int16)
    wire = Livewire(flat, (1.0, 2.0))
    for at in ((-3.0, 2.0), (2.0, 48.0), (39.9, 60.0)):
        wire.add(at)
    outline = wire.closed()
    assert (outline >= 0).all() and (outline <= (39, 49)).all()
    assert np.isfinite(outline).all()


def test_far_from_the_last_point_it_still_finds_the_edge():
    rows, columns = np.mgrid[:512, :512]
    image = np.where(np.hypot(rows - 256, columns - 256) < 200, 100, 0).astype(np.int16)
    image = image + np.random.default_rng(1).normal(0, 8, image.shape).astype(np.int16)
    wire = Livewire(image, (1.0, 1.0))
    wire.add((256.0, 56.0))
    way = wire.way_to((256.0, 456.0))
    assert np.abs(np.hypot(way[:, 0] - 256, way[:, 1] - 256) - 200).mean() < 1.5


def test_a_mouse_move_is_quick():
    """Work of the processor per move on 512 x 512, the window's renewals with it."""
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 300, (512, 512)), 6).astype(np.int16)
    wire = Livewire(image, (0.98, 0.98), (0, 100))
    wire.add((250.0, 250.0))
    spent = []
    for step in range(60):
        begun = time.thread_time()
        wire.way_to((250.0 + 2 * step, 250.0 + 1.5 * step))
        spent.append(1000 * (time.thread_time() - begun))
    print(f"median {np.median(spent):.1f} ms, longest {max(spent):.1f} ms")
    assert np.median(spent) < 10
    assert max(spent) < 60
