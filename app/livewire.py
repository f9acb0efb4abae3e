"""Livewire: an outline that clings to edges between the points that are clicked ("intelligent scissors").

Mortensen and Barrett, "Interactive segmentation with intelligent scissors" (1998): the way from the last point to the
mouse is the cheapest through the plane, where edges cost little. Costs are worked out only in a window round the two,
and only once for as long as the mouse stays in it, so that a move of the mouse is answered at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric

Flat = tuple[float, float]
Doubles = NDArray[np.float64]

_MARGIN = 24  # pixels round anchor and mouse at least
_ROUND_ABOUT = 0.6  # of the distance between the two: half a circle goes as far aside
_MOST_NODES = 25_000  # of a window; a wider one is looked at more coarsely
_SIGMA_MM = 1.0
_SIGMA_PX = 0.8  # at least
_CHEAPEST = 0.02  # of 1, for a step along a perfect edge
_RIDGE_SHARE = 0.4
_SNAP_PX = 2
_STRONG, _SHARE_OF_MOST = 0.95, 0.35  # quantile of the slope, and share of the steepest, that count as a whole edge


class Livewire:
    """One outline in the making on one plane.

    Points are in-plane indices (down, across), fractions allowed.

    Parameters
    ----------
    plane : (rows, columns) image values.
    spacing_mm : distance between rows, and between columns.
    window : (centre, width) in the image's unit: edges are looked for in the range that the reviewer sees.
    """

    def __init__(
        self, plane: NDArray[np.generic], spacing_mm: tuple[float, float], window: tuple[float, float] | None = None
    ) -> None:
        self._plane, self._spacing, self._range = plane, spacing_mm, window
        self._anchors: list[Flat] = []
        self._pieces: list[Doubles] = []  # from each anchor to the next
        self._window: _Window | None = None

    @property
    def anchors(self) -> tuple[Flat, ...]:
        """The points that were clicked, moved onto the edge beside them."""
        return tuple(self._anchors)

    @property
    def outline(self) -> Doubles:
        """(n, 2) the way through all points so far."""
        if not self._pieces:
            return np.array(self._anchors, float).reshape(-1, 2)
        return np.concatenate([*(piece[:-1] for piece in self._pieces), self._pieces[-1][-1:]])

    def add(self, at: Flat) -> None:
        """Fix a point: the way to it stays as it is from now on."""
        at = self._snapped(at)
        if self._anchors:
            if np.hypot(at[0] - self._anchors[-1][0], at[1] - self._anchors[-1][1]) < 0.5:
                return
            self._pieces.append(self.way_to(at))
        self._anchors.append(at)
        self._window = None

    def take_back(self) -> None:
        """Take back the last point and the way to it."""
        if self._anchors:
            self._anchors.pop()
            self._window = None
        if self._pieces:
            self._pieces.pop()

    def way_to(self, at: Flat) -> Doubles:
        """(n, 2) the way from the last point to `at`, both ends included. Raises ValueError without a point."""
        if not self._anchors:
            raise ValueError("there is no point to go from")
        anchor = self._anchors[-1]
        if self._window is None or not self._window.holds(at):
            self._window = _Window(self._plane, self._spacing, self._range, anchor, at)
        return self._window.way(anchor, at)

    def closed(self) -> Doubles:
        """(n, 2) the closed outline: from the last point back to the first. Raises ValueError for less than two."""
        if len(self._anchors) < 2:
            raise ValueError("an outline needs two points")
        back = self.way_to(self._anchors[0])
        return np.concatenate([self.outline[:-1], back[:-1]])

    def _snapped(self, at: Flat) -> Flat:
        """The strongest edge within two pixels, or the point itself where there is none."""
        at = _clipped(at, self._plane.shape)
        window = _Window(self._plane, self._spacing, self._range, at, at, margin=8)
        return window.snapped(at)


def _clipped(at: Flat, shape: tuple[int, ...]) -> Flat:
    return float(np.clip(at[0], 0, shape[0] - 1)), float(np.clip(at[1], 0, shape[1] - 1))


class _Window:
    """The costs of a part of the plane, and the cheapest ways in it from one place."""

    def __init__(
        self, plane: NDArray[np.generic], spacing_mm: tuple[float, float], window: tuple[float, float] | None,
        anchor: Flat, at: Flat, margin: int = _MARGIN,
    ) -> None:  # fmt: skip
        points = np.array([_clipped(anchor, plane.shape), _clipped(at, plane.shape)])
        more = max(margin, int(_ROUND_ABOUT * np.abs(points[1] - points[0]).max()))
        low = np.maximum(np.floor(points.min(axis=0)).astype(int) - more, 0)
        high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + more + 1, plane.shape)
        self._low, self._high = low, high
        self._stride = stride = max(1, int(np.ceil(np.sqrt(np.prod(high - low) / _MOST_NODES))))
        self._spacing = (spacing_mm[0] * stride, spacing_mm[1] * stride)
        values = plane[low[0] : high[0], low[1] : high[1]].astype(np.float64)
        if window is not None:
            values = np.clip(values, window[0] - window[1] / 2, window[0] + window[1] / 2)
        values = _coarser(values, stride)
        self._slope = [_derivative(values, self._spacing, axis, 1) for axis in range(2)]
        self._steep = np.hypot(*self._slope)
        whole = max(float(np.quantile(self._steep, _STRONG)), _SHARE_OF_MOST * float(self._steep.max())) or 1.0
        strength = np.minimum(self._steep / whole, 1)
        curved = _derivative(values, self._spacing, 0, 2) + _derivative(values, self._spacing, 1, 2)
        ridge = _zero_crossings(curved) & (strength > 0.1)
        free = (1 - _RIDGE_SHARE) * (1 - strength) + _RIDGE_SHARE * ~ridge
        self._cost = _CHEAPEST + (1 - _CHEAPEST) * free**2
        self._ways: MCP_Geometric | None = None

    def holds(self, at: Flat) -> bool:
        """Whether a point lies in the window."""
        return bool((np.array(at) >= self._low).all() and (np.array(at) <= self._high - 1).all())

    def snapped(self, at: Flat) -> Flat:
        """The steepest place within two pixels; `at` itself where all is flat."""
        middle = np.array(self._node(at))
        low = np.maximum(middle - _SNAP_PX, 0)
        high = np.minimum(middle + _SNAP_PX + 1, self._steep.shape)
        near = self._steep[low[0] : high[0], low[1] : high[1]]
        if near.max() <= 0:
            return at
        best = np.array(np.unravel_index(int(near.argmax()), near.shape)) + low
        place = self._on_edge(self._places(best[None]))[0]
        return float(place[0]), float(place[1])

    def way(self, anchor: Flat, at: Flat) -> Doubles:
        """(n, 2) the cheapest way, laid on the edge between the pixels."""
        begin, end = self._node(anchor), self._node(at)
        if begin == end:
            return np.array([anchor, at], float)
        if self._ways is None:
            self._ways = MCP_Geometric(self._cost, sampling=self._spacing)
            self._ways.find_costs([begin])
        places = self._places(np.array(self._ways.traceback(end)))
        middle = _smooth(self._on_edge(places[1:-1]))
        return np.concatenate([[anchor], middle, [at]])

    def _node(self, at: Flat) -> tuple[int, int]:
        node = (np.round(np.array(at)).astype(int) - self._low) // self._stride
        down, across = np.clip(node, 0, np.subtract(self._cost.shape, 1))
        return int(down), int(across)

    def _places(self, nodes: NDArray[np.int_]) -> Doubles:
        return np.asarray(nodes * self._stride + (self._stride - 1) / 2 + self._low)

    def _on_edge(self, places: Doubles) -> Doubles:
        """Places moved to the steepest point across the edge, a pixel of the window away at most."""
        if len(places) == 0:
            return places
        local = (places - self._low - (self._stride - 1) / 2) / self._stride
        direction = np.stack([ndimage.map_coordinates(s, local.T, order=1, mode="nearest") for s in self._slope], 1)
        direction /= np.array(self._spacing)  # slopes are per mm, steps are in pixels
        length = np.linalg.norm(direction, axis=1, keepdims=True)
        direction = np.divide(direction, length, out=np.zeros_like(direction), where=length > 0)
        offsets = np.linspace(-1, 1, 5)
        probes = local[:, None, :] + offsets[None, :, None] * direction[:, None, :]
        found = ndimage.map_coordinates(self._steep, probes.reshape(-1, 2).T, order=1, mode="nearest")
        found = found.reshape(len(places), -1)
        best = found.argmax(axis=1)
        shift = offsets[best] + _peak(found, best) * (offsets[1] - offsets[0])
        return np.asarray(places + self._stride * shift[:, None] * direction)


def _derivative(values: Doubles, spacing_mm: tuple[float, float], axis: int, order: int) -> Doubles:
    sigma = [max(_SIGMA_MM / s, _SIGMA_PX) for s in spacing_mm]
    found = ndimage.gaussian_filter(values, sigma, [order * int(a == axis) for a in range(2)], mode="nearest")
    return np.asarray(found / spacing_mm[axis] ** order)


def _peak(values: Doubles, best: NDArray[np.int_]) -> Doubles:
    """Where a parabola through the largest value and its neighbours has its top, in steps from the largest."""
    inner = (best > 0) & (best < values.shape[1] - 1)
    at = np.clip(best, 1, values.shape[1] - 2)
    rows = np.arange(len(values))
    a, b, c = values[rows, at - 1], values[rows, at], values[rows, at + 1]
    bend = a - 2 * b + c
    top = np.divide(0.5 * (a - c), bend, out=np.zeros_like(bend), where=bend < 0)
    return np.where(inner, np.clip(top, -0.5, 0.5), 0.0)


def _smooth(places: Doubles) -> Doubles:
    """Each place with a little of its neighbours, so that steps of the pixels don't show; the ends stay."""
    if len(places) < 3:
        return places
    out = places.copy()
    out[1:-1] = 0.25 * places[:-2] + 0.5 * places[1:-1] + 0.25 * places[2:]
    return out


def _zero_crossings(curved: Doubles) -> NDArray[np.bool_]:
    """Pixels at which a Laplacian changes its sign, the nearer one of each pair."""
    out = np.zeros(curved.shape, bool)
    for axis in range(2):
        low = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        high = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        crossing = curved[low] * curved[high] < 0
        nearer = np.abs(curved[low]) <= np.abs(curved[high])
        out[low] |= crossing & nearer
        out[high] |= crossing & ~nearer
    return out


def _coarser(values: Doubles, stride: int) -> Doubles:
    """Means of blocks; a last block that isn't whole is filled up with its edge."""
    if stride == 1:
        return values
    padded = np.pad(values, [(0, -n % stride) for n in values.shape], mode="edge")
    rows, columns = padded.shape[0] // stride, padded.shape[1] // stride
    return np.asarray(padded.reshape(rows, stride, columns, stride).mean(axis=(1, 3)))
