"""The review dock in a stock napari: real viewer, real panels; what napari paints and what the session holds agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hands import load, structure
from napari._qt.qt_viewer import QtViewer
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import notification_manager
from phantoms import CtPhantom
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from contourdesk.app.dicom_write import write_rtstruct
from contourdesk.app.jobs import run
from contourdesk.app.layer_read import read_layers
from contourdesk.app.project import load as load_review
from contourdesk.app.settings import Settings, save_settings

MakeCt = Callable[..., CtPhantom]
pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
SHAPE = (8, 40, 36)


@pytest.fixture
def viewer(qtbot, request, monkeypatch, tmp_path):
    QtViewer._instances.clear()  # make_napari_viewer takes windows of other tests that wait for the collector for leaks
    make_napari_viewer = request.getfixturevalue("make_napari_viewer")
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    save_settings(Settings(reviewer="Dr Test", device="cpu"))
    viewer = make_napari_viewer(show=True)
    yield viewer
    if hasattr(viewer.window, "_qt_window"):  # a test may have closed it
        viewer.close()
    qtbot.wait(50)  # what is to be deleted later, is


def boxes() -> dict[str, np.ndarray]:
    first, second = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    first[2:5, 8:20, 6:14], second[3:6, 15:25, 10:20] = True, True  # they overlap
    return {"First": first, "Second": second}


def opened(qtbot, viewer, ct: CtPhantom):
    """A dock with a review of a phantom's image layer, which has two structures."""
    write_rtstruct(load(ct), [structure(n, b) for n, b in boxes().items()], ct.folder / "rt.dcm")
    for one in run(read_layers(ct.folder))[0]:
        viewer.add_layer(Layer.create(*one))
    _, dock = viewer.window.add_plugin_dock_widget("contourdesk", "Review")
    qtbot.mouseClick(dock.findChild(QWidget, "contourdesk_layer"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.session is not None, timeout=20_000)
    return dock


def test_a_review_in_a_stock_napari(qtbot, viewer, make_ct: MakeCt, tmp_path: Path) -> None:
    dock = opened(qtbot, viewer, make_ct(tmp_path / "ct", SHAPE, orientation="axial_feet_first"))
    session, layers = dock.session, dock.layers
    first, second = session.structures.items
    assert [type(layer) for layer in viewer.layers] == [Image, Labels, Labels, Labels, Labels]  # no second image
    assert not any(layer.visible for layer in viewer.layers[1:3])  # what the reader gave, now shown by the session
    _, order = session.structures.grid.canonical()

    dock.desk.table.set_active(second.id)
    assert layers.active.name == "Active: Second" and viewer.layers.selection.active is layers.active
    assert np.array_equal(order.undo(layers.active.data) == 1, boxes()["Second"])
    assert np.array_equal(order.undo(layers.overview.data) != 0, boxes()["First"])

    before = second.mask.count
    layers.active.mode = "paint"
    layers.active.brush_size = 3
    spot = tuple(int(v) for v in np.argwhere(layers.active.data == 0)[200])
    layers.active.paint(spot, 1)
    qtbot.waitUntil(lambda: session.structures.get(second.id).mask.count > before, timeout=5000)
    assert session.structures.get(second.id).edited
    assert np.array_equal(order.undo(layers.active.data) == 1, session.structures.get(second.id).mask.dense(SHAPE))
    dock.made["edit_undo"].trigger()
    assert session.structures.get(second.id).mask.count == before == np.count_nonzero(layers.active.data)

    session.set_locked(second.id, True)  # refused, told, and drawn as it is
    layers.active.data[spot] = 1
    told = []
    layers.failed.connect(told.append)
    layers.failed.disconnect(dock.show_failure)
    layers.take_over()
    assert told and "locked" in str(told[0]) and layers.active.data[spot] == 0

    dock.desk.table.visibility_changed.emit(first.id, False)
    assert not layers.overview.data.any()
    dock.made["decide_accept"].trigger()
    assert session.structures.get(second.id).decision.accepted

    dock.toggle_views()
    qtbot.waitUntil(lambda: dock.views.isVisible(), timeout=5000)
    assert dock.desk.view.session is session
    dock.desk.view.go_to(session.structures.grid.to_world((2, 10, 8)))
    assert np.allclose(viewer.dims.point, session.structures.grid.to_world((2, 10, 8))[::-1], atol=2)

    folder = dock.autosave.folder
    viewer.close()  # saves and lets go, though the window goes without asking the dock
    assert dock.session is None
    assert [s.decision.state for s in run(load_review(folder)).structures] == ["unreviewed", "accepted"]
    again = run(read_layers(folder))[0]  # a review folder opens as layers too
    assert [one[2] for one in again] == ["image", "labels", "labels"]
    assert [one[1]["features"]["structure"][1] for one in again[1:]] == ["First", "Second"]


def test_an_image_of_another_reader_can_be_reviewed(qtbot, viewer, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    assert viewer.open(tmp_path / "nothing", plugin="contourdesk") == []  # no dialog of other readers, but our words
    assert "is empty. Choose the folder that holds the CT" in notification_manager.records[-1].message
    hu = np.full((5, 20, 18), -900, np.int16)
    hu[1:4, 5:15, 4:14] = 40
    viewer.add_image(hu, scale=(3, 1, 1), name="scan")
    _, dock = viewer.window.add_plugin_dock_widget("contourdesk", "Review")
    dock.review_layer()
    qtbot.waitUntil(lambda: dock.session is not None, timeout=20_000)
    assert [type(layer) for layer in viewer.layers] == [Image, Labels, Labels]
    made = dock.session.add("Mine")
    dock.desk.table.set_active(made)
    dock.layers.active.data[2, 6:9, 6:9] = 1
    dock.layers.take_over()
    assert dock.session.structures.get(made).mask.count == 9
    assert layers_units(viewer) == {"pixel"}  # napari draws by units only where all layers have the same
    keys = dock.made["decide_accept"]
    assert keys.shortcutContext() == Qt.ShortcutContext.WidgetWithChildrenShortcut  # napari's own A stays napari's
    folder = dock.autosave.folder
    viewer.window.remove_dock_widget(dock)  # as its cross does
    assert dock.session is None and len(viewer.layers) == 1
    assert run(load_review(folder)).structures.named("Mine").mask.count == 9


def layers_units(viewer) -> set[str]:
    return {str(unit) for layer in viewer.layers for unit in layer.units}
