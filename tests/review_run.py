"""A scripted reviewer takes real cases from open to report with mouse and keys alone, and compares what comes of it.

    python tests/review_run.py OUT [--cases FOLDER] [--only HN_242] [--size 1366x768]

Needs a screen of that size (``xvfb-run -s "-screen 0 1366x768x24"``). Each case: open, segment, look at the findings,
brush, nudge, erase, an operation, prompts or the livewire, undo, the threshold, the next look; accept, accept with a
minor edit, reject, with comments; report; export; close; reopen. The session is only read, to know where to click and
to compare: masks and decisions must come back bit by bit, and the exported RTSTRUCT must hold the accepted masks, for
our reader and for plastimatch. Any warning of Qt or of the program, any error on the screen, ends it with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("QT_API", "pyside6")

from person import RIGHT, Ears, Trouble  # noqa: E402
from reviewer import Reviewer  # noqa: E402

NAME = "Dr Script"
SEGMENT_S = 1500


def told(person: Reviewer) -> list[tuple[Any, ...]]:
    """All that must come back of a review."""
    return [
        (s.id, s.name, s.colour, s.edited, s.mask.tight.offset, s.mask.tight.bits.tobytes(), s.decision, s.provenance)
        for s in person.session.structures
    ]


def open_and_segment(r: Reviewer, folder: Path, first: bool, say: Callable[[str], None]) -> None:
    """Open by the folder dialog and run the bundled model."""
    start = time.monotonic()
    r.open_folder("Ctrl+O", folder)
    r.wait("opening", lambda: r.window.reviewing, 90)
    say(f"open {time.monotonic() - start:.1f} s")
    r.picture("opened")
    if first:
        r.write("reviewer", NAME, enter=True)
        if r.session.reviewer != NAME:
            raise Trouble("the reviewer's name wasn't taken")
    start = time.monotonic()
    r.key("Ctrl+G")
    panel = r.window.predict
    r.wait("beginning to segment", lambda: panel.running, 10)
    r.wheel(r.axial, r.axial.rect().center(), -3)  # the images can be looked at meanwhile
    r.picture("segmenting")
    r.wait("segmenting", lambda: not panel.running, SEGMENT_S)
    say(f"segment {time.monotonic() - start:.0f} s")
    if len(r.session.structures) < 5:
        raise Trouble(f"the model found {len(r.session.structures)} structures only")
    r.picture("segmented")


def look_at_findings(r: Reviewer, say: Callable[[str], None]) -> None:
    """Wait for the checks, and click each of the first three."""
    review = r.window.review
    r.wait("checking", lambda: review.findings.heading.text().startswith("Checks:"), 60)
    lines = review.findings.list
    for row in range(min(3, lines.count())):
        finding = lines.item(row).data(Qt.ItemDataRole.UserRole)
        r.line(lines, lines.model().index(row, 0))
        if r.active.id != finding.structure_id:
            raise Trouble(f"the finding {finding.text!r} led to {r.active.name}")
        r.picture(f"finding-{row}")
    say(review.findings.heading.text())


def correct(r: Reviewer, turn: int, say: Callable[[str], None]) -> None:
    """The hand tools on one gland, an operation, then a tool that differs from case to case."""
    r.choose_structure("Parotid_R" if turn % 2 == 0 else "Parotid_L")
    r.key("C")
    r.key("B")
    r.write("brush_size", "8", enter=True)
    row, column = r.edge()
    r.changes("brush", lambda: r.stroke((row, column), (row + 3, column + 6)))
    r.picture("brushed")
    r.key("I")
    row, column = r.edge(False)
    r.changes("nudge", lambda: r.stroke((row, column + 4), (row, column - 5)))
    r.picture("nudged")
    r.key("E")
    row, column = r.edge()
    r.changes("erase", lambda: r.stroke((row, column), (row - 2, column + 1)))
    r.choose("operation", "Smooth")
    r.write("operation_mm", "5")
    r.wait("the preview", lambda: "→" in r.window.desk.operations.text.text(), 30)
    r.picture("operation")
    r.changes("smooth", lambda: r.key("Return"))
    kept = r.active.mask
    {0: prompt, 1: livewire, 2: points}[turn % 3](r)
    made = r.active.mask
    r.key("Ctrl+Z")
    if not r.active.mask.equals(kept):
        raise Trouble("undo did not lead back")
    r.key("Ctrl+Y")
    if not r.active.mask.equals(made):
        raise Trouble("redo did not lead on")
    r.key("N")
    say(f"corrected {r.active.name}")


def prompt(r: Reviewer) -> None:
    """A point inside, just over the edge, and one outside."""
    r.key("P")
    row, column = r.edge()
    r.click_at(r.axial, r.spot((row, column + 3)))
    r.wait("the proposal", lambda: r.view._state.proposal is not None, 60)
    r.click_at(r.axial, r.spot((row + 12, column + 10)), RIGHT)
    r.wait("the next proposal", lambda: not r.view.tools["prompt"].runner.running, 60)
    r.picture("prompt")
    r.changes("prompt", lambda: r.key("Return"))


def livewire(r: Reviewer) -> None:
    """Five clicks round the gland, closed with Enter."""
    r.key("L")
    row, column = r.middle()
    for angle in np.linspace(0, 2 * np.pi, 6)[:-1]:
        r.click_at(r.axial, r.spot((row + 14 * np.sin(angle), column + 14 * np.cos(angle))))
    r.picture("livewire")
    r.changes("livewire", lambda: r.key("Return"))


def points(r: Reviewer) -> None:
    """Drag one point of the outline."""
    r.key("Shift+G")
    r.hover(r.axial, r.spot(r.middle()))
    loops = r.view.tools["points"]._outline.loops
    place = max(loops, key=len)[0]
    to = place + 0.4 * (place - np.array(r.middle()))
    r.changes("points", lambda: r.stroke(place, to))
    r.picture("points")


def use_the_model(r: Reviewer, say: Callable[[str], None]) -> None:
    """The next looks, then the threshold of the brainstem with the keyboard on its slider."""
    r.key("X")
    r.wait("the next look", lambda: "(" in r.window.statusBar().currentMessage(), 60)
    r.picture("next-look")
    r.key("X")
    r.choose_structure(next(s.name for s in r.session.structures if s.provenance.model and "stem" in s.name))
    r.key("C")
    slider = r.find("threshold")
    r.drag(slider, [QPoint(slider.width() * n // 100, slider.height() // 2) for n in (50, 45, 40, 38)])
    r.wait("the threshold's preview", lambda: "→" in r.window.desk.confidence.text.text(), 30)
    r.key("K")
    r.picture("threshold")
    r.changes("threshold", lambda: r.click("threshold_apply"))
    r.key("K")
    say("threshold applied")


def decide(r: Reviewer, say: Callable[[str], None]) -> None:
    """One key each, with comments on two; J leads on."""
    names = [s.name for s in r.session.structures]
    r.choose_structure(names[0])
    wanted: dict[str, tuple[str, str, str]] = {}
    states = {"A": "accepted", "W": "accepted-edited", "R": "rejected"}
    for number in range(len(names)):
        name, comment = r.active.name, ""
        key = "R" if r.active.provenance.source == "imported" or name == "Esophagus" else "AW"[number % 2]
        if number in (1, 2):
            comment = f"{states[key]}: seen on every slice"
            r.write("review_comment", comment, enter=True)
        r.key(key)
        wanted[name] = (states[key], comment, NAME)
        d = r.session.structures.named(name).decision
        if (d.state, d.comment, d.person) != wanted[name]:
            raise Trouble(f"{name}: {d}, not {wanted[name]}")
        if number < len(names) - 1:
            r.key("J")
            if r.active.decision.state != "unreviewed":
                raise Trouble("J led to a decided structure")
    if set(wanted) != set(names):
        raise Trouble(f"J left out {set(names) - set(wanted)}")
    r.picture("decided")
    say(f"{len(names)} decided")


def report_and_export(r: Reviewer, out: Path, say: Callable[[str], None]) -> None:
    """PDF, CSV, RTSTRUCT and training case by the dialogs."""
    r.key("Ctrl+R")
    dialog = r.dialog("report_dialog")
    r.write("report_folder", str(out / "report"))
    r.click("report_write")
    r.wait("the report", lambda: dialog.text.text().startswith("Written"), 240)
    r.picture("report")
    r.click("report_close")
    r.wait("closing the report", lambda: r.see("report_dialog") is None, 10)
    r.key("Ctrl+E")
    dialog = r.dialog("export_dialog")
    r.write("export_folder", str(out / "export"))
    r.click("export_start")
    r.wait("the export", lambda: "read back and equal" in dialog.report.text() and not dialog.runner.running, 120)
    r.picture("export")
    r.click("export_close")
    r.wait("closing the export", lambda: r.see("export_dialog") is None, 10)
    for pattern in ("report/*.pdf", "report/*.csv", "export/RTSTRUCT*.dcm", "export/Dataset*/labelsTr/*"):
        if len(found := list(out.glob(pattern))) != 1 or found[0].stat().st_size < 500:
            raise Trouble(f"{pattern}: {found}")
    say("report and export written")


def close_and_reopen(r: Reviewer, say: Callable[[str], None]) -> None:
    """Close the case, go on with it from the start page, compare."""
    before = told(r)
    r.key("Ctrl+W")
    r.wait("closing", lambda: r.session is None and r.see("review_0") is not None, 60)
    r.picture("start")
    start = time.monotonic()
    r.click("review_0")
    r.wait("reopening", lambda: r.window.reviewing, 60)
    say(f"reopen {time.monotonic() - start:.1f} s")
    if told(r) != before:
        raise Trouble("the review came back otherwise than it was left")
    r.key("Ctrl+Z")  # the history, too
    r.key("Ctrl+Y")
    if [t[:6] for t in told(r)] != [t[:6] for t in before]:
        raise Trouble("undo and redo after reopening changed something")
    r.picture("reopened")


def compare_export(r: Reviewer, folder: Path, out: Path, say: Callable[[str], None]) -> None:
    """The RTSTRUCT's masks against the accepted ones: our reader in a fresh case, and plastimatch."""
    import SimpleITK as sitk

    from contourdesk.app.dicom_read import read_series, scan
    from contourdesk.app.jobs import run
    from contourdesk.app.rtstruct_read import read_rtstruct

    (file,) = (out / "export").glob("RTSTRUCT*.dcm")
    accepted = {s.name: s.mask for s in r.session.structures if s.decision.accepted}
    written = {s.name: s.mask for s in read_rtstruct(file, run(read_series(run(scan(folder))[0])))}
    if set(written) != set(accepted) or not all(written[n].equals(m) for n, m in accepted.items()):
        raise Trouble("the RTSTRUCT doesn't hold the accepted masks")
    say(f"RTSTRUCT: {len(written)} masks equal")
    tool = shutil.which("plastimatch")
    if tool is None:
        say("plastimatch isn't installed")
        return
    arguments = ["--input", file, "--referenced-ct", folder, "--output-prefix", out / "pm", "--prefix-format", "nrrd"]
    subprocess.run([tool, "convert", *map(str, arguments)], capture_output=True, check=True)
    for name, mask in accepted.items():
        found = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "pm" / f"{name}.nrrd"))) > 0
        if not np.array_equal(found, mask.dense(r.session.structures.grid.shape)):
            raise Trouble(f"plastimatch sees {name} otherwise")
    shutil.rmtree(out / "pm")
    say("plastimatch: equal")


def review(r: Reviewer, folder: Path, out: Path, turn: int) -> None:
    """One case from open to report and back."""
    out.mkdir(parents=True)
    r.out = out

    def say(text: str) -> None:
        print(f"{folder.name}: {text}", flush=True)

    before = {f: f.stat().st_mtime_ns for f in folder.iterdir()}
    open_and_segment(r, folder, turn == 0, say)
    look_at_findings(r, say)
    correct(r, turn, say)
    use_the_model(r, say)
    decide(r, say)
    report_and_export(r, out, say)
    close_and_reopen(r, say)
    compare_export(r, folder, out, say)
    r.key("Ctrl+W")
    r.wait("closing", lambda: r.session is None and r.see("start_open_folder") is not None, 60)
    if {f: f.stat().st_mtime_ns for f in folder.iterdir()} != before:
        raise Trouble("something was written among the images")


def begin(out: Path, size: tuple[int, int], ears: Ears) -> Reviewer:
    """Start the program as `contourdesk` does, with settings and reviews under `out`."""
    os.environ["CONTOURDESK_HOME"] = str(out / "home")
    from contourdesk.app.settings import Settings, save_settings
    from contourdesk.widgets.application import Watch, make_application, start_logging
    from contourdesk.widgets.main_window import MainWindow

    save_settings(Settings(device="cpu"))
    start_logging()
    app = make_application(sys.argv[:1])
    window = MainWindow()
    person = Reviewer(app, window, out, ears)
    person.guard = Watch(window, app)
    person.guard.install()
    window.resize(*size)
    window.move(0, 0)
    window.show()
    person.pause(300)
    person.picture("first")
    return person


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for pictures, reports and exports, made anew")
    shared = HERE.parents[1] / "shared" / "data" / "headneck_dicom"
    parser.add_argument("--cases", type=Path, default=shared, help="folder with one folder of DICOM images a case")
    parser.add_argument("--only", nargs="*", default=(), help="names of the cases to take")
    parser.add_argument("--size", default="1366x768", help="size of the window")
    options = parser.parse_args()
    out: Path = options.out.absolute()
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    ears = Ears()
    width, height = (int(n) for n in options.size.split("x"))
    person = begin(out, (width, height), ears)
    cases = [f for f in sorted(options.cases.iterdir()) if f.is_dir() and (not options.only or f.name in options.only)]
    wrong = 0
    try:
        for turn, folder in enumerate(cases):
            review(person, folder, out / folder.name, turn)
        if not person.window.close():
            raise Trouble("the window didn't close")
        person.pause(200)
    except Exception as trouble:  # noqa: BLE001 - the program's own hook would take it
        wrong = 1
        print("---", trouble)
        if not isinstance(trouble, Trouble):
            traceback.print_exception(trouble)
        person.window.screen().grabWindow(0).save(str(out / "trouble.png"))
    counts = dict(person.counts)
    (out / "counts.json").write_text(json.dumps(counts))
    print(f"{len(cases)} cases, {counts}, {'trouble' if wrong else 'all as it should be'}; pictures in {out}")
    os._exit(wrong) if wrong else None  # a run that stopped half-way may leave jobs behind
    return wrong


if __name__ == "__main__":
    sys.exit(main())
