"""Install a wheel into a fresh virtual environment, away from this tree, and do with it what a user does first.

    python packaging/try_install.py dist/contourdesk-*.whl

CI runs it on Linux, Windows and macOS. Where there is a display, the real window opens the sample case too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parent / "constraints.txt"
CARRIED = """
from importlib.resources import files
here = files("contourdesk.resources")
wanted = ["napari.yaml", "icons/contourdesk.svg", "styles/style.qss", "sample/CT001.dcm", "structures.csv"]
missing = [name for name in wanted if not here.joinpath(name).is_file()]
missing += [] if any(here.joinpath("models").iterdir()) else ["models"]
missing += [] if files("contourdesk").joinpath("help/docs/index.md").is_file() else ["help"]
assert not missing, missing
"""
SAMPLE = "from importlib.resources import files; print(files('contourdesk.resources').joinpath('sample'))"


def main() -> int:
    """Build the environment and go through the commands; the first that fails ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="the wheel, or a folder with one")
    parser.add_argument("--environment", type=Path, help="keep the environment here; one that is there is used")
    arguments = parser.parse_args()
    wheel = arguments.wheel if arguments.wheel.is_file() else next(arguments.wheel.glob("contourdesk-*.whl"))
    with tempfile.TemporaryDirectory(prefix="contourdesk-try-", ignore_cleanup_errors=True) as scratch:
        environment = arguments.environment or Path(scratch) / "environment"
        work = Path(scratch) / "work"
        work.mkdir()
        python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not python.exists():
            venv.create(environment, with_pip=True)
        Try(python.absolute(), work).everything(wheel.absolute())
    return 0


class Try:
    """Runs commands of one environment in an empty folder."""

    def __init__(self, python: Path, work: Path) -> None:
        self._python, self._work = python, work
        # No PYTHONPATH, so that nothing of this tree is found; a home of its own, so that no settings are.
        self._variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self._variables |= {"CONTOURDESK_HOME": str(work / "home"), "PYTHONUTF8": "1"}

    def everything(self, wheel: Path) -> None:
        """Install, then each command in turn."""
        self._run("-m", "pip", "install", "-q", "-c", str(CONSTRAINTS), str(wheel))
        self._run("-m", "pip", "check")
        self._run("-c", CARRIED)
        self._run("-m", "npe2", "validate", "contourdesk")
        sample = self._run("-c", SAMPLE).strip()
        self._run("-m", "contourdesk", "--version")
        self._run("-m", "contourdesk", "check", sample)
        self._run("-m", "contourdesk", "segment", sample, "--device", "cpu", "--out", "segmented")
        files = sorted(p.name for p in (self._work / "segmented").rglob("*") if p.is_file())
        if not any(name.endswith(".dcm") for name in files):
            sys.exit(f"The segmentation wrote no RTSTRUCT, only {files}.")
        if os.name == "nt" or sys.platform == "darwin" or os.environ.get("DISPLAY"):
            self._run("-m", "contourdesk", "doctor", "--window", "window")
            print("  ", sorted(p.name for p in (self._work / "window").iterdir()))
        else:
            self._run("-m", "contourdesk", "doctor")

    def _run(self, *arguments: str) -> str:
        shown = " ".join("…" if "\n" in part else part for part in arguments)
        start = time.monotonic()
        done = subprocess.run(
            [str(self._python), *arguments],
            cwd=self._work,
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )
        print(f"{time.monotonic() - start:6.1f} s  {shown}", flush=True)
        if done.returncode:
            sys.exit(f"{done.stdout}\nIt ended with {done.returncode}.")
        return done.stdout


if __name__ == "__main__":
    sys.exit(main())
