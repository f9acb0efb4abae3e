"""What gets installed: contourdesk alone, whole, and nothing called app or widgets beside it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import contourdesk

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("app", "widgets", "inference", "resources")


def tracked(*folders: str) -> set[str]:
    """The files in git under some folders."""
    done = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, check=True)
    return {name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built from this tree with the tools that are installed."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def in_wheel(built: Path) -> set[str]:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


def test_wheel_holds_one_package(in_wheel: set[str]) -> None:
    assert {name.partition("/")[0] for name in in_wheel} == {
        "contourdesk",
        f"contourdesk-{contourdesk.__version__}.dist-info",
    }


def test_wheel_is_a_package_that_runs(in_wheel: set[str]) -> None:
    assert {"contourdesk/__init__.py", "contourdesk/__main__.py"} <= in_wheel
    assert {f"contourdesk/{folder}/__init__.py" for folder in FOLDERS} <= in_wheel
    assert {f"contourdesk/{folder}/py.typed" for folder in FOLDERS} <= in_wheel


def test_wheel_misses_no_file(in_wheel: set[str]) -> None:
    """No pattern of .gitignore keeps a resource or a module out."""
    assert {f"contourdesk/{name}" for name in tracked(*FOLDERS)} <= in_wheel


def test_wheel_holds_the_manual(in_wheel: set[str]) -> None:
    """All that the window shows under Help: pages, pictures, and what they link to."""
    assert {
        f"contourdesk/help/{name}" for name in tracked("docs", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")
    } <= in_wheel


def test_wheel_runs_from_elsewhere(built: Path, tmp_path: Path) -> None:
    """Unpacked alone, it finds its own modules and resources and not those of this tree."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    code = (
        "import contourdesk, contourdesk.app.geometry as g, contourdesk.app.handbook as h;"
        "from importlib.resources import files; h.contents();"
        "print(contourdesk.__file__, g.__file__, files('contourdesk.resources'), h.handbook_root(), sep='\\n')"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert all(Path(line).is_relative_to(tmp_path / "site") for line in done.stdout.splitlines()), done.stdout


def test_sdist_builds_the_same_wheel(built: Path, in_wheel: set[str], tmp_path: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Debian 12 has Python 3.11.2
        sdist.extractall(tmp_path, **safely)
    source = next(tmp_path.glob("contourdesk-*"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")]
    subprocess.run(command, cwd=source, capture_output=True, check=True)
    with zipfile.ZipFile(next((tmp_path / "again").glob("*.whl"))) as wheel:
        assert set(wheel.namelist()) == in_wheel


def test_editable_install_is_this_tree() -> None:
    """`contourdesk` leads to the files that one edits, and installed metadata has the same version."""
    for folder in FOLDERS:
        spec = importlib.util.find_spec(f"contourdesk.{folder}")
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).resolve() == ROOT / folder / "__init__.py"
    assert version("contourdesk") == contourdesk.__version__


def test_nothing_called_app_or_widgets_is_installed(tmp_path: Path) -> None:
    code = f"import importlib.util as u; print([f for f in {FOLDERS} if u.find_spec(f)])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_links_of_an_editable_install(tmp_path: Path) -> None:
    """The build hook makes them, leaves right ones alone and mends wrong ones without touching what they led to."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "packaging" / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    for name in (*FOLDERS, "packaging", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept.txt").write_text(name, "utf-8")
    for name in hook.MODULES.values():
        (tmp_path / name).write_text("", "utf-8")
    package = tmp_path / ".dev" / "contourdesk"
    package.mkdir(parents=True)
    hook.link_folder(package / "app", tmp_path / "other")
    for _ in range(2):
        hook.link_package(tmp_path)
        assert sorted(path.name for path in package.iterdir()) == sorted((*FOLDERS, *hook.MODULES))
        for name in FOLDERS:
            assert (package / name / "kept.txt").read_text("utf-8") == name
    assert (tmp_path / "other" / "kept.txt").read_text("utf-8") == "other"


def test_console_scripts() -> None:
    ours = {script.name for script in entry_points(group="console_scripts") if script.value.startswith("contourdesk.")}
    assert ours == {"contourdesk"}


def test_constraints_name_every_requirement() -> None:
    """Each direct requirement has one exact version that CI tests, without a local part such as ``+cpu``."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = (ROOT / "packaging" / "constraints.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    wanted = [Requirement(line) for line in project["dependencies"]]
    wanted += [Requirement(line) for extra in project["optional-dependencies"].values() for line in extra]
    for requirement in wanted:
        exact = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(exact), requirement
        assert "+" not in exact
