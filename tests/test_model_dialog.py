"""The list of models in the window: real folders and zips, a hostile one, defaults; real clicks."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from tiny_model import library_home, make_model
from window_steps import child, click

from contourdesk.app.errors import UserError
from contourdesk.inference import model_library as library
from contourdesk.widgets.model_dialog import ModelDialog, about


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return library_home(tmp_path, monkeypatch)


@pytest.fixture
def dialog(qtbot):
    dialog = ModelDialog()
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    dialog.errors = []
    dialog.failed.connect(dialog.errors.append)
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitExposed(dialog)
    settle(qtbot, dialog)
    return dialog


def settle(qtbot, dialog) -> None:
    qtbot.waitUntil(lambda: not dialog.runner.running, timeout=90_000)


def names(dialog) -> list[str]:
    return [dialog.list.item(i).data(Qt.ItemDataRole.UserRole) for i in range(dialog.list.count())]


def zip_of(folder: Path, path: Path, more: dict[str, str] | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for one in folder.rglob("*"):
            if one.is_file():
                file.write(one, f"Dataset001_Tiny/t__p__3d_fullres/{one.relative_to(folder).as_posix()}")
        for name, text in (more or {}).items():
            file.writestr(name, text)
    return path


def add(qtbot, monkeypatch, dialog, path: Path) -> None:
    """Press the button that fits and choose `path`."""
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(path))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    click(qtbot, dialog, "model_add_zip" if path.suffix == ".zip" else "model_add_folder")
    settle(qtbot, dialog)


def test_a_folder_is_added_described_made_default_and_removed(qtbot, monkeypatch, dialog, tmp_path):
    folder = make_model(tmp_path / "mine")
    (folder / "LICENSE").write_text("For <b>research</b> alone.")
    assert names(dialog) == ["headneck"]
    assert not dialog.remove.isEnabled()
    with qtbot.waitSignal(dialog.changed, timeout=90_000):
        add(qtbot, monkeypatch, dialog, folder)
    assert names(dialog) == ["headneck", "mine"]
    text = dialog.about.toPlainText()
    for part in (
        "mine",
        "Brainstem, RightParotid, Mandible",
        "3d_fullres",
        "3 × 2.5 × 2 mm",
        "16 × 24 × 20",
        "no body site",
    ):
        assert part in text
    assert "For <b>research</b> alone." in text  # nobody's text is markup
    assert library.find("mine").sha256[0] in text

    assert dialog.site.currentData() == "head and neck"
    click(qtbot, dialog, "model_default")
    settle(qtbot, dialog)
    assert library.defaults() == {"head and neck": "mine"}
    assert dialog.default.text() == "It is the default"
    assert "default for head and neck" in dialog.list.currentItem().text()

    assert dialog.back.text() == "Put headneck back"
    click(qtbot, dialog, "model_back")
    settle(qtbot, dialog)
    assert library.defaults() == {"head and neck": "headneck"}
    click(qtbot, dialog, "model_back")  # and forth
    settle(qtbot, dialog)
    assert library.defaults() == {"head and neck": "mine"}
    assert dialog.list.currentItem().text().startswith("mine")

    click(qtbot, dialog, "model_remove")
    assert "left as it is" in child(dialog, "model_remove_dialog").informativeText()
    click(qtbot, dialog, "model_remove_yes")
    settle(qtbot, dialog)
    assert names(dialog) == ["headneck"]
    assert (folder / "plans.json").is_file()
    assert library.defaults() == {"head and neck": "headneck"}
    assert not dialog.errors


def test_a_zip_is_unpacked_and_deleted_when_removed(qtbot, monkeypatch, dialog, tmp_path, home):
    archive = zip_of(make_model(tmp_path / "source"), tmp_path / "pelvis.zip")
    add(qtbot, monkeypatch, dialog, archive)
    assert names(dialog) == ["headneck", "pelvis"]
    assert (home / "models" / "pelvis").is_dir()
    click(qtbot, dialog, "model_remove")
    click(qtbot, dialog, "model_remove_yes")
    settle(qtbot, dialog)
    assert not (home / "models" / "pelvis").exists()
    assert archive.is_file()


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("evil-was-here"),))


@pytest.mark.parametrize("kind", ["path", "no model", "program", "not a zip"])
def test_what_is_bad_or_hostile_is_told_and_not_added(qtbot, monkeypatch, dialog, tmp_path, home, kind):
    monkeypatch.chdir(tmp_path)
    source = make_model(tmp_path / "source")
    path = tmp_path / "bad.zip"
    if kind == "path":
        zip_of(source, path, {"../../evil": "x"})
    elif kind == "no model":
        zip_of(tmp_path / "nothing", path, {"readme.txt": "hello"})
    elif kind == "program":
        checkpoint = source / "fold_0" / "checkpoint_final.pth"
        with zipfile.ZipFile(checkpoint, "w") as file:
            file.writestr("archive/data.pkl", pickle.dumps({"network_weights": Evil()}, 2))
            file.writestr("archive/version", "3\n")
        path = source
    else:
        path.write_text("hello")
    add(qtbot, monkeypatch, dialog, path)
    (error,) = dialog.errors
    assert isinstance(error, UserError)
    assert names(dialog) == ["headneck"]
    assert "Nothing was added" in dialog.text.text()
    assert not (tmp_path / "evil-was-here").exists()
    assert not (tmp_path / "evil").exists()
    assert not list((home / "models").glob("*/plans.json"))


def test_a_model_whose_folder_is_gone_says_so(tmp_path):
    from contourdesk.app.jobs import run

    entry = run(library.add(make_model(tmp_path / "mine"), "mine"))
    (tmp_path / "mine").rename(tmp_path / "moved")
    assert "not there any more" in about(entry, {})
    assert [e.name for e in library.known_models()] == ["headneck", "mine"]


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("H+N 2.0 Neck", "head and neck"),
        ("CT HEADNECK", "head and neck"),
        ("Thorax 3mm", "thorax"),
        ("Becken nativ PROSTATE", "pelvis"),
        ("Thorax Abdomen", None),
        ("Phantom", None),
        ("", None),
    ],
)
def test_the_body_site_that_a_description_names(text: str, site: str | None):
    assert library.site_of(text) == site
