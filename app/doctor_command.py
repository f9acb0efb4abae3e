"""``contourdesk doctor``: the self-test on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from contourdesk.app.console import GOOD, USER_ERROR, run_job, say
from contourdesk.app.errors import UserError
from contourdesk.app.itself import has_display


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``contourdesk doctor``."""
    parser.add_argument("--json", action="store_true", help="what was found as JSON, for other programs")
    parser.add_argument(
        "--window",
        type=Path,
        metavar="DIR",
        help="also let the real window open the sample case, segment, accept and export; DIR gets pictures and results",
    )
    parser.add_argument("--screen", action="store_true", help=argparse.SUPPRESS)  # what the self-test asks itself
    parser.epilog = f"exits with 2 when something failed, a warning is none\n{parser.epilog}"


def doctor(options: argparse.Namespace) -> int:
    """Examine this computer and print what was found; returns 2 when something failed. Raises UserError."""
    if options.screen:
        return _tell_screen()
    from contourdesk.app.doctor import as_text, examine, worst

    if options.window is not None:
        _check_place(options.window)
    lines = run_job(examine(), "Self-test")
    if options.window is not None and not any(line.group == "Screen" and line.state == "fail" for line in lines):
        from contourdesk.widgets.window_check import check_window

        lines = (*lines, *check_window(options.window.absolute()))
    if options.json:
        _print_json([asdict(line) for line in lines], indent=1)
    else:
        for text in as_text(lines):
            say(text)
    return USER_ERROR if worst(lines) == "fail" else GOOD


def _check_place(folder: Path) -> None:
    if not has_display():
        raise UserError("There is no display to open a window on.", "Leave --window out, or start it under Xvfb.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f'"{folder}" is not an empty folder.', "Name one that is not there yet.")


def _tell_screen() -> int:
    """Say what the screen is like, one JSON object a line, for `contourdesk.app.doctor.screen_lines`."""
    from contourdesk.widgets.screen_check import screen_lines

    for line in screen_lines():
        _print_json(asdict(line))
    return GOOD


def _print_json(content: object, indent: int | None = None) -> None:
    sys.stdout.write(json.dumps(content, indent=indent) + "\n")
    sys.stdout.flush()
