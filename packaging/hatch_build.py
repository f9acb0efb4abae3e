"""Hatchling build hook: the import package ``contourdesk`` from top-level folders with other names.

The folders ``app``, ``widgets``, ``inference`` and ``resources`` are ``contourdesk.app`` and so on once installed. In a
wheel, hatchling's own ``sources`` table renames them. An editable install can't rename, so this hook makes
``.dev/contourdesk`` full of links to the folders, and ``pyproject.toml`` puts ``.dev`` on the path.

``contourdesk/__init__.py`` and ``contourdesk/__main__.py`` have their sources here in ``packaging``. They are added
by this hook, not by ``force-include`` in ``pyproject.toml``: that table holds for editable installs too, and would put
a second, empty ``contourdesk`` into site-packages in front of the links.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("app", "widgets", "inference", "resources")
MODULES = {"__init__.py": "packaging/package_init.py", "__main__.py": "packaging/package_main.py"}
MANUAL = ("docs", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")  # contourdesk/help in a wheel: the window shows it


class ContourdeskBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the two modules of the package itself and the manual, and makes the links of an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run by hatchling before each wheel; ``version`` is "standard" or "editable"."""
        if version == "editable":
            link_package(Path(self.root))
            return
        for name, source in MODULES.items():
            build_data["force_include"][source] = f"contourdesk/{name}"
        for source in MANUAL:
            build_data["force_include"][source] = f"contourdesk/help/{source}"


def link_package(root: Path) -> None:
    """Make ``root/.dev/contourdesk``. Links that are right already are left as they are."""
    package = root / ".dev" / "contourdesk"
    package.mkdir(parents=True, exist_ok=True)
    for name in FOLDERS:
        link_folder(package / name, root / name)
    for name, source in MODULES.items():
        link_file(package / name, root / source)


def link_folder(link: Path, target: Path) -> None:
    """Make ``link`` lead to the folder ``target``: a symbolic link, on Windows a junction, which needs no rights."""
    if link.exists() and link.resolve() == target.resolve():
        return
    remove_link(link)
    if os.name == "nt":
        import _winapi

        _winapi.CreateJunction(str(target), str(link))
    else:
        link.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)


def link_file(link: Path, target: Path) -> None:
    """Make ``link`` lead to the file ``target``. On Windows, where a link to a file needs rights, it is a copy."""
    if link.exists() and link.resolve() == target.resolve():
        return
    remove_link(link)
    if os.name == "nt":
        shutil.copyfile(target, link)
    else:
        link.symlink_to(os.path.relpath(target, link.parent))


def remove_link(link: Path) -> None:
    """Remove a link (never what it leads to), also one whose target is gone."""
    if os.name == "nt" and link.is_dir():
        link.rmdir()  # removes a junction; refuses a folder that holds files
    elif link.is_symlink() or link.exists():
        link.unlink()
