"""The list of models: what is added is checked and described, kept, and found by its name."""

import json
import zipfile
from pathlib import Path

import pytest
from tiny_model import library_home, make_model

from contourdesk.app import cli
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.inference import model_library as library


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return library_home(tmp_path, monkeypatch)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = make_model(tmp_path / "source")
    (folder / "LICENSE").write_text("For research alone.")
    path = tmp_path / "My model.zip"
    with zipfile.ZipFile(path, "w") as file:
        for one in folder.rglob("*"):
            if one.is_file():
                file.write(one, f"Dataset001_Tiny/t__p__3d_fullres/{one.relative_to(folder).as_posix()}")
    return path


def test_an_archive_is_unpacked_described_found_and_removed(archive: Path, home: Path):
    entry = run(library.add(archive))
    assert entry.name == "My_model"
    assert entry.organs == ("Brainstem", "RightParotid", "Mandible")
    assert (entry.spacing_mm, entry.patch_size, entry.folds) == ((3.0, 2.5, 2.0), (16, 24, 20), ("fold_0",))
    assert entry.licence == "For research alone."
    assert "3 structures" in entry.describe()
    archive.unlink()
    assert [e.name for e in library.list_models()] == ["headneck", "My_model"]
    assert library.find("My_model") == entry
    assert library.load("My_model")[0].labels == entry.organs
    with pytest.raises(UserError, match="already"):
        run(library.add(Path(entry.folder), "my_MODEL"))
    library.remove("My_model")
    assert not Path(entry.folder).exists()
    with pytest.raises(UserError, match="no model"):
        library.find("My_model")


def test_a_folder_stays_where_it_is(tmp_path: Path):
    folder = make_model(tmp_path / "mine")
    run(library.add(folder, "mine"))
    library.remove("mine")
    assert folder.is_dir()


def test_a_broken_model_is_not_added(archive: Path, home: Path):
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../evil", "x")
    with pytest.raises(UserError, match="Nothing was unpacked"):
        run(library.add(archive))
    assert [e.name for e in library.list_models()] == ["headneck"]
    assert not list((home / "models").glob("*"))


def test_weights_that_changed_are_noticed(tmp_path: Path):
    run(library.add(make_model(tmp_path / "mine"), "mine"))
    other = make_model(tmp_path / "other", seed=8)
    checkpoint = Path("fold_0") / "checkpoint_final.pth"
    (tmp_path / "mine" / checkpoint).write_bytes((other / checkpoint).read_bytes())
    with pytest.raises(UserError, match="changed since"):
        library.load("mine")


def test_defaults_of_body_sites(tmp_path: Path):
    assert library.default_for("head and neck").name == "headneck"
    assert library.default_for("pelvis") is None
    run(library.add(make_model(tmp_path / "mine"), "mine"))
    library.set_default("head and neck", "mine")
    assert library.default_for("head and neck").name == "mine"
    library.remove("mine")
    assert library.default_for("head and neck").name == "headneck"
    with pytest.raises(UserError, match="no body site"):
        library.set_default("toe", "headneck")
    with pytest.raises(UserError, match="came with the program"):
        library.remove("headneck")


def test_the_default_before_is_remembered(tmp_path: Path):
    assert library.former_default("head and neck") == ""
    run(library.add(make_model(tmp_path / "mine"), "mine"))
    library.set_default("head and neck", "mine", "Dr A")
    change = library.last_change("head and neck")
    assert (change.before, change.name, change.who) == ("headneck", "mine", "Dr A")
    assert library.former_default("head and neck") == "headneck"
    library.set_default("head and neck", "mine", "Dr B")  # no change, so nothing to remember
    assert library.last_change("head and neck") == change
    library.set_default("head and neck", "headneck")  # the way back, which can be gone back again
    assert library.former_default("head and neck") == "mine"
    library.remove("mine")
    assert library.former_default("head and neck") == ""


@pytest.mark.parametrize("text", ["{", "[]", '{"models": 3, "defaults": {}}', '{"models": [{}], "defaults": {}}'])
def test_a_damaged_list(home: Path, text: str):
    home.mkdir()
    (home / "models.json").write_text(text)
    assert [e.name for e in library.list_models()] == ["headneck"]


def test_names(tmp_path: Path):
    folder = make_model(tmp_path / "mine")
    for name in ("a/b", "..", "a b", ""):
        if name:
            with pytest.raises(UserError, match="can't be a name"):
                run(library.add(folder, name))
    assert run(library.add(folder)).name == "mine"


def test_the_command(archive: Path, capsys: pytest.CaptureFixture, home: Path):
    assert cli.main(["model", "add", str(archive), "--name", "mine"]) == 0
    assert cli.main(["model", "default", "thorax", "mine"]) == 0
    assert cli.main(["model", "list"]) == 0
    text = capsys.readouterr().out
    assert "mine (unpacked): 3d_fullres, 1 fold, 3 x 2.5 x 2 mm" in text
    assert "default for thorax: mine" in text
    assert cli.main(["model", "remove", "mine"]) == 0
    assert cli.main(["model", "remove", "mine"]) == 2
    assert json.loads((home / "models.json").read_text())["defaults"] == {}
