"""Display windows (centre and width in the image's unit) that radiology uses, and the file's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contourdesk.app.volume import Volume


@dataclass(frozen=True)
class WindowPreset:
    """A named window; `key` is the shortcut the main window gives it."""

    name: str
    centre: float
    width: float
    key: str


PRESETS = (
    WindowPreset("Soft tissue", 40, 400, "1"),
    WindowPreset("Bone", 400, 1800, "2"),
    WindowPreset("Lung", -600, 1500, "3"),
    WindowPreset("Brain", 40, 80, "4"),
)


def presets_for(volume: Volume) -> tuple[WindowPreset, ...]:
    """The presets that make sense for an image.

    CT has the usual four, then the file's own where it has one. Other images have the file's own or, without one,
    a window that spans their values.
    """
    own = WindowPreset("File's own", *volume.window, "5") if volume.window is not None else None
    if volume.unit == "HU":
        return PRESETS if own is None else (*PRESETS, own)
    return (own or _span(volume),)


def default_window(volume: Volume) -> tuple[float, float]:
    """Centre and width to open an image with: soft tissue for CT, else the file's own or what spans the values."""
    first = presets_for(volume)[0]
    return first.centre, first.width


def _span(volume: Volume) -> WindowPreset:
    values = volume.array[tuple(slice(None, None, max(1, n // 64)) for n in volume.grid.shape)]
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    return WindowPreset("All values", (low + high) / 2, max(high - low, 1e-3), "5")
