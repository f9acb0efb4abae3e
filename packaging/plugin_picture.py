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

TIMEOUT_S = 1800


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Let the window live until `condition` holds."""
    from qtpy.QtTest import QTest

    end = time.monotonic() + TIMEOUT_S
    while not condition():
        QTest.qWait(50)
        if time.monotonic() > end:
            raise SystemExit(f"{what}: nothing happened in {TIMEOUT_S} s.")


def review_sample(viewer: Any) -> Any:
    """Open the sample case and the dock, segment, accept one structure; returns the dock."""
    viewer.open_sample("contourdesk", "head-neck")
    _, dock = viewer.window.add_plugin_dock_widget("contourdesk", "Review")
    dock.review_layer()
    wait("The review", lambda: dock.session is not None)
    dock.desk.predict.options.mirroring.setChecked(False)  # one pass is enough for a picture
    dock.desk.predict.start()
    wait("The segmentation", lambda: not dock.desk.predict.running and len(dock.session.structures) > 0)
    first = dock.session.structures.items[0]
    dock.desk.table.set_active(first.id)
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
    QTest.qWait(3000)
    viewer.window.screenshot(str(out / "plugin.png"), canvas_only=False, flash=False)
    viewer.close()
    print(out / "plugin.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
