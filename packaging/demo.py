"""Do the main job through the real window: open, segment, correct, accept, export; pictures on the way.

    python packaging/demo.py OUT [--case PATH] [--model FOLDER] [--size 1920x1080] [--more]

``make run`` calls it where there is no display (under Xvfb), and ``make screenshots`` to make the pictures in docs.
Settings and the review go under OUT too, so nothing of the user's is touched.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from demo_panels import take_pictures
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDialog, QPushButton, QWidget

TIMEOUT_S = 1800


class Tour:
    """Drives one main window by its widgets, as a person would, and takes pictures of the screen."""

    def __init__(self, out: Path, size: tuple[int, int]) -> None:
        from contourdesk.widgets.application import Watch, make_application
        from contourdesk.widgets.main_window import MainWindow

        self.out = out
        self.app = make_application(sys.argv[:1])
        self.window = MainWindow()
        self.watch = Watch(self.window, self.app)
        self.watch.install()
        self.window.resize(*size)
        self.window.move(0, 0)
        self.window.show()

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Let the window live until `condition` holds; an error dialog or TIMEOUT_S ends the tour."""
        end = time.monotonic() + TIMEOUT_S
        while not condition():
            QTest.qWait(50)
            if any(w.objectName() == "error_dialog" and w.isVisible() for w in self.app.topLevelWidgets()):
                self.picture("error")
                raise SystemExit(f"{what}: an error was shown, see {self.out / 'error.png'}")
            if time.monotonic() > end:
                self.picture("stuck")
                raise SystemExit(f"{what}: nothing happened in {TIMEOUT_S} s, see {self.out / 'stuck.png'}")

    def find(self, name: str) -> QWidget:
        """The visible widget with this object name."""
        for top in self.app.topLevelWidgets():
            for widget in top.findChildren(QWidget, name):
                if widget.isVisible():
                    return widget
        raise SystemExit(f"There is no widget called {name} on the screen.")

    def click(self, name: str) -> None:
        """Click the middle of a widget."""
        QTest.mouseClick(self.find(name), Qt.MouseButton.LeftButton)
        QTest.qWait(100)

    def picture(self, name: str) -> Path:
        """Save what is on the screen, canvases included."""
        QTest.qWait(1500)
        path = self.out / f"{name}.png"
        place = self.window.frameGeometry()
        shot = self.window.screen().grabWindow(0, place.x(), place.y(), place.width(), place.height())
        shot.save(str(path))
        return path


def main() -> int:
    """Run the tour; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for pictures and exports, made anew")
    parser.add_argument("--case", type=Path, help="images to open instead of the sample case")
    parser.add_argument("--model", type=Path, help="model folder instead of the bundled one")
    parser.add_argument("--size", default="1600x900", help="size of the window in pixels")
    parser.add_argument("--more", action="store_true", help="pictures of the other windows, too")
    options = parser.parse_args()
    out: Path = options.out.absolute()
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    os.environ["CONTOURDESK_HOME"] = str(out / "home")
    os.environ["HOME"] = os.environ["USERPROFILE"] = str(out)  # so that pictures show "~/export" and no one's folders
    width, height = (int(n) for n in options.size.split("x"))

    from contourdesk.app.settings import Settings, save_settings

    save_settings(Settings(reviewer="Demo Reviewer"))
    tour = Tour(out, (width, height))
    window = tour.window
    tour.picture("start")

    if options.case:
        window.open_path(options.case.absolute())
    else:
        window.open_sample()
    tour.wait("Opening", lambda: window.reviewing)
    if options.model:
        window.predict.choose_model(options.model.absolute())
    tour.click("segment")
    tour.wait("Segmenting", lambda: not window.predict.running or window.predict.bar.value() > 2)
    tour.picture("segmenting")
    tour.wait("Segmenting", lambda: not window.predict.running)
    session = window.session
    if session is None or not any(s.provenance.source == "model" for s in session.structures):
        raise SystemExit("The model proposed nothing.")
    found = [s for s in session.structures if not s.mask.is_empty]
    print(f"Segmented: {', '.join(f'{s.name} {s.volume_ml(session.case.volume.grid):.1f} ml' for s in found)}")

    proposed = [s for s in found if s.provenance.source == "model"]
    shown = next((s for s in proposed if s.name.startswith("Parotid_R")), proposed[0])
    window.table.set_active(shown.id)
    window.view.centre_on(shown.id)
    tour.picture("proposed")
    _correct(tour)
    tour.picture("correcting")
    window.view.set_tool("navigate")
    for structure in proposed[:-1]:
        window.table.set_active(structure.id)
        window.decide("accepted")
    window.table.set_active(shown.id)
    window.view.centre_on(shown.id)
    tour.picture("review")

    window.ask_export()
    tour.wait("Exporting", lambda: bool(window.findChildren(QDialog, "export_dialog")))
    dialog = window.findChildren(QDialog, "export_dialog")[0]
    dialog.folder.setText("~/export")
    tour.click("export_start")
    tour.wait("Exporting", lambda: not dialog.runner.running and "Checked" in dialog.report.text())
    tour.picture("export")
    dialog.findChild(QPushButton, "export_close").click()
    if options.more:
        take_pictures(tour, out)
    window.close()

    rtstruct = next((out / "export").rglob("RTSTRUCT*.dcm"))
    training = next((out / "export").rglob("imagesTr")).parent
    print(f"Screenshot:    {out / 'review.png'}")
    print(f"RTSTRUCT:      {rtstruct}")
    print(f"Training case: {training}")
    return 0


def _correct(tour: Tour) -> None:
    """One brush stroke in the axial view: the structure's lower end drawn out a little."""
    window = tour.window
    window.view.set_tool("paint")
    window.view.set_brush_mm(6)
    axial = window.view.planes["axial"]
    canvas = axial.native
    middle = axial.position_of(window.view.cross_index).toPoint()
    steps = [middle + QPoint(0, round(n * axial.canvas.zoom)) for n in range(0, 18, 2)]  # 16 mm, towards the back
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=steps[0])
    for step in steps[1:]:
        QTest.mouseMove(canvas, step)
        QTest.qWait(20)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=steps[-1])


if __name__ == "__main__":
    sys.exit(main())
