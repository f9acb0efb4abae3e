"""Models in zip archives: what nnU-Net exports is read, what is hostile is refused before anything is written."""

import stat
import zipfile
from pathlib import Path

import pytest
from tiny_model import make_model

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.inference.model_zip import is_model_zip, unpack
from contourdesk.inference.nnunet import load_model

PREFIX = "Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__3d_fullres"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """As ``nnUNetv2_export_model_to_zip`` writes it."""
    folder = make_model(tmp_path / "source")
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for one in sorted(folder.rglob("*")):
            if one.is_file():
                file.write(one, f"{PREFIX}/{one.relative_to(folder).as_posix()}")
        file.writestr(f"{PREFIX}/fold_0/progress.png", b"picture")
        file.writestr(f"{PREFIX}/fold_0/validation/summary.json", "{}")
        file.writestr(f"{PREFIX}/crossval_results_folds_0/postprocessing.pkl", b"never")
        file.writestr("Dataset001_Tiny/LICENSE", "For research alone.")
    return path


def add(path: Path, info: zipfile.ZipInfo | str, data: bytes = b"x") -> None:
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(info, data)


def test_an_exported_model(archive: Path):
    assert is_model_zip(archive)
    model = load_model(archive)
    assert model.name == "tiny"
    assert model.folder == archive
    assert model.licence == "For research alone."
    assert any("was not opened" in note for note in model.notes)


def test_only_what_a_model_is_made_of_is_unpacked(archive: Path, tmp_path: Path):
    place = run(unpack(archive, tmp_path / "out"))
    names = {p.relative_to(place).name for p in place.rglob("*") if p.is_file()}
    wanted = {"plans.json", "dataset.json", "checkpoint_final.pth", "postprocessing.pkl", "LICENSE"}
    assert names == wanted
    assert (place / PREFIX / "crossval_results_folds_0" / "postprocessing.pkl").read_bytes() == b""


@pytest.mark.parametrize(
    "name",
    ["../plans.json", "a/../../x", "/etc/plans.json", "C:/plans.json", "a\\..\\plans.json", "a/" * 20 + "x", "n" * 300],
)
def test_paths_that_lead_out(archive: Path, tmp_path: Path, name: str):
    info = zipfile.ZipInfo("x")
    info.filename = name
    add(archive, info)
    with pytest.raises(UserError, match="Nothing was unpacked"):
        run(unpack(archive, tmp_path / "deep" / "out"))
    assert not (tmp_path / "deep").exists()
    with pytest.raises(UserError, match="Nothing was unpacked"):
        load_model(archive)


def test_links_and_devices(archive: Path, tmp_path: Path):
    info = zipfile.ZipInfo(f"{PREFIX}/fold_1/checkpoint_final.pth")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    add(archive, info, b"/etc/passwd")
    with pytest.raises(UserError, match="link"):
        run(unpack(archive, tmp_path / "out"))


def test_a_bomb(archive: Path, tmp_path: Path):
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("more/dataset.json", bytes(100 * 2**20))
    with pytest.raises(UserError, match="grow absurdly"):
        run(unpack(archive, tmp_path / "out"))


def test_one_file_twice(archive: Path, tmp_path: Path):
    with pytest.warns(UserWarning, match="Duplicate"):
        add(archive, f"{PREFIX}/plans.json")
    with pytest.raises(UserError, match="twice"):
        run(unpack(archive, tmp_path / "out"))


def test_damaged_encrypted_and_empty(archive: Path, tmp_path: Path):
    data = bytearray(archive.read_bytes())
    flags = data.index(b"PK\x01\x02") + 8
    data[flags] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(UserError, match="encrypted"):
        run(unpack(tmp_path / "locked.zip", tmp_path / "out"))
    (tmp_path / "cut.zip").write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(UserError, match="no archive of a model"):
        load_model(tmp_path / "cut.zip")
    body = bytearray(archive.read_bytes())
    body[len(body) // 2 : len(body) // 2 + 64] = bytes(64)
    (tmp_path / "broken.zip").write_bytes(body)
    with pytest.raises(UserError, match="damaged"):
        load_model(tmp_path / "broken.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("readme.txt", "x")
    with pytest.raises(UserError, match="no archive of a model"):
        load_model(tmp_path / "other.zip")


def test_not_enough_space(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from contourdesk.inference import model_zip

    monkeypatch.setattr(model_zip.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match="free"):
        run(unpack(archive, tmp_path / "out"))
