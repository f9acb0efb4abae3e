"""Print packaging/constraints.txt: the versions of all that contourdesk needs, from the environment this runs in.

Use, from the repository's root: ``.venv/bin/python packaging/freeze.py > packaging/constraints.txt``.
``pip freeze`` would also name what somebody installed by hand, and the local part of a version (``+cpu``).
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = """\
# The exact versions that CI tests. Use:  pip install -c packaging/constraints.txt -e ".[test]"
# Made by packaging/freeze.py from an environment in which the tests pass."""


def add_versions(requirement: Requirement, found: dict[tuple[str, str], str]) -> None:
    """Put the version of a requirement, and of all that it requires here, into ``found``."""
    key = (canonicalize_name(requirement.name), ",".join(sorted(requirement.extras)))
    if key in found:
        return
    try:
        installed = distribution(requirement.name)
    except PackageNotFoundError:
        sys.exit(f"{requirement.name} is not installed. Run make setup first.")
    found[key] = installed.version.partition("+")[0]
    extras = ["", *requirement.extras]
    for line in installed.requires or []:
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            add_versions(needed, found)


def main() -> None:
    """Walk through the requirements of ``pyproject.toml``, extras included."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[tuple[str, str], str] = {}
    for lines in (project["dependencies"], *project["optional-dependencies"].values()):
        for line in lines:
            add_versions(Requirement(line), found)
    print(HEADER)
    for name, version in sorted({name: version for (name, _), version in found.items()}.items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
