"""Review the sample case in a stock napari with the plugin's dock, and take the picture of docs/plugin.md.

    python packaging/plugin_picture.py OUT

``make screenshots`` calls it, where there is no display under Xvfb. Settings and the review go under OUT.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMEOUT_S = 600


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Let the window live until `condition` holds."""
    from qtpy.QtTest import QTest

    end = time.monotonic() + TIMEOUT_S
    while not condition():
        QTest.qWait(50)
        if time.monotonic() > end:
            raise SystemExit(f"{what}: nothing happened in {TIMEOUT_S} s.")


def air_inside(values: Any) -> Any:
    """Air that does not reach the edge of its slice: bool (z, y, x) from HU."""
    import numpy as np
    from scipy import ndimage

    out = np.zeros(values.shape, bool)
    for k, plane in enumerate(values):
        parts, _ = ndimage.label(plane < -300)
        edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
        out[k] = (parts > 0) & ~np.isin(parts, edge)
    return out


def review_sample(viewer: Any) -> Any:
    """Open the sample case and the dock, make structures by thresholds, accept one; returns the dock."""
    from contourdesk.app.structures import Mask

    viewer.open_sample("contourdesk", "head-neck")
    _, dock = viewer.window.add_plugin_dock_widget("contourdesk", "Review")
    dock.review_layer()
    wait("The review", lambda: dock.session is not None)
    values = dock.session.case.volume.array
    for name, bits in (("Bone", values > 250), ("Air in the body", air_inside(values))):
        made = dock.session.add(name, mask=Mask.from_dense(bits))
        dock.desk.table.set_active(made)
    dock.desk.review.decide("accepted")
    dock.toggle_views()
    dock.desk.centre()
    dock.tabs.setCurrentIndex(2)
    viewer.reset_view()
    wait("The figures", lambda: not dock.desk.findings.runner.running)
    return dock


def main() -> int:
    """Make the picture."""
    out = Path(sys.argv[1]).absolute()
    out.mkdir(parents=True, exist_ok=True)
    os.environ["CONTOURDESK_HOME"] = str(out / "home")
    os.environ["NAPARI_CONFIG"] = str(out / "napari.yaml")
    import napari
    from qtpy.QtTest import QTest

    from contourdesk.app.settings import Settings, save_settings

    save_settings(Settings(reviewer="Dr Sample", device="cpu"))
    viewer = napari.Viewer()
    viewer.window.resize(1440, 860)
    review_sample(viewer)
    QTest.qWait(2000)
    viewer.window.screenshot(str(out / "plugin.png"), canvas_only=False, flash=False)
    viewer.close()
    print(out / "plugin.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
