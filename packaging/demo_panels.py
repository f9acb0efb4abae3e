"""Pictures of the windows that the main job doesn't come by, for the documentation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.uid import generate_uid
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDialog, QWidget

if TYPE_CHECKING:
    from demo import Tour

# Patients who don't exist, how many slices of the sample stand for their CT, and how many of three structures are done.
_CASES = (
    ("Adler^Ruth", 12, 3), ("Brandt^Ole", 13, 2), ("Castillo^Inés", 14, 3), ("Dvořák^Jan", 15, 0),
    ("Eriksen^Liv", 16, None), ("Ferri^Ugo", 17, None), ("Gruber^Max", 18, None), ("Håkansson^Åsa", 19, None),
    ("Ito^Ren", 20, None),
)  # fmt: skip


def take_pictures(tour: Tour, home: Path) -> None:
    """Training, export of many reviews, settings, the light theme, and the worklist.

    `home` is the folder that the tour has exported to, "~" for the program.
    """
    window = tour.window
    window.view.set_tool("navigate")
    dataset = next((home / "export").rglob("imagesTr")).parent
    for command, name in (("learn_train", "training"), ("learn_export", "exporting-many")):
        window.made[command].trigger()
        tour.wait(name, lambda: _dialog(window) is not None)
        dialog = _dialog(window)
        if name == "training":
            dialog.form.dataset.set_path(f"~/{dataset.relative_to(home)}")
            QTest.qWait(4000)
            dialog.form.out.set_path("~/models/new")
        else:
            dialog.folder.set_path("~/export")
        _middle(window, dialog)
        tour.picture(name)
        dialog.close()
        QTest.qWait(300)
    window.made["settings"].trigger()
    dialog = _dialog(window)
    dialog.show_page("Display")
    tour.picture("settings")
    dialog.close()
    _light(tour)
    _worklist(tour, home)


def _light(tour: Tour) -> None:
    from contourdesk.widgets.window_settings import take_settings

    window = tour.window
    take_settings(window, replace(window.settings, theme="light"))
    tour.picture("light")
    take_settings(window, replace(window.settings, theme="dark"))


def _worklist(tour: Tour, home: Path) -> None:
    """A folder of cases with some reviews, made of slices of the sample."""
    from contourdesk.app.reviews import review_root

    window, folder = tour.window, home / "Planning CTs"
    for number, (name, slices, done) in enumerate(_CASES):
        _make_case(folder / f"case_{number:02d}", name, number, slices)
        if done is not None:
            _make_review(folder / f"case_{number:02d}", done)
    window.worklist.set_places([str(folder)], review_root(window.settings))
    window.worklist.show()
    tour.wait(
        "Worklist", lambda: len(window.worklist.page.all_rows) >= len(_CASES) and not window.worklist.runner.running
    )
    tour.picture("worklist")


def _make_case(folder: Path, name: str, number: int, slices: int) -> None:
    from contourdesk.widgets.theme import RESOURCES

    folder.mkdir(parents=True)
    series, study = generate_uid(), generate_uid()
    for file in sorted((RESOURCES / "sample").glob("*.dcm"))[40 : 40 + slices]:
        ds = dcmread(file)
        ds.SpecificCharacterSet, ds.PatientName, ds.PatientID = "ISO_IR 192", name, f"DEMO-{number}"
        ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.SOPInstanceUID = series, study, generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = f"202611{10 + number}"
        ds.SeriesDescription = ("CT neck 2 mm", "CT thorax", "CT pelvis planning")[number % 3]
        ds.save_as(folder / file.name)


def _make_review(folder: Path, done: int) -> None:
    """Three structures, `done` of them accepted."""
    from contourdesk.app.dicom_read import read_series, scan
    from contourdesk.app.jobs import run
    from contourdesk.app.project import open_review
    from contourdesk.app.review import ReviewSession
    from contourdesk.app.reviews import default_review_folder
    from contourdesk.app.settings import load_settings

    case = run(read_series(run(scan(folder))[0]))
    session = ReviewSession(case, "Dr Okafor" if done < 3 else "Dr Lund")
    made = [session.add(name) for name in ("Brainstem", "SpinalCord", "Mandible")]
    for structure in made[:done]:
        session.decide(structure, "accepted")
    run(open_review(session.snapshot(), default_review_folder(case, load_settings()[0]))).close()


def _dialog(window: QWidget) -> QDialog | None:
    return next((d for d in window.findChildren(QDialog) if d.isVisible()), None)


def _middle(window: QWidget, dialog: QWidget) -> None:
    """Put a dialog over the middle of the window: without a window manager it would stand in the corner."""
    room, size = window.frameGeometry(), dialog.frameGeometry()
    dialog.move(room.center().x() - size.width() // 2, max(room.top(), room.center().y() - size.height() // 2))
    dialog.raise_()
    QTest.qWait(300)
