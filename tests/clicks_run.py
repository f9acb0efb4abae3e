"""Ten standard corrections with real events on a real case: clicks, keys and drags counted, seconds of program time.

    python tests/clicks_run.py OUT [--case FOLDER] [--size 1366x768]

Each begins as ``docs/corrections.md`` says: the case is open and segmented, the structure is chosen, the slice is
shown, the tool is Navigate. What is wrong is put there by the script and isn't counted; each result is compared
with what it must be. The seconds run from the last event (the release of the button, the last key) until the session
holds the result. Prints the table and writes it as JSON; exits with 1 if a result is wrong or a warning is heard.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from person import Ears, Trouble  # noqa: E402
from review_run import NAME, begin, open_and_segment  # noqa: E402
from reviewer import Reviewer  # noqa: E402

from contourdesk.app import edits  # noqa: E402
from contourdesk.app.checks_sides import midline_x  # noqa: E402
from contourdesk.app.edits_image import keep_slices, mirror  # noqa: E402
from contourdesk.app.structures import Mask  # noqa: E402

GLAND, OTHER_SIDE, NEIGHBOUR = "Parotid_R", "Parotid_L", "Bone_Mandible"


class Corrector(Reviewer):
    """A reviewer whose corrections are counted."""

    def __init__(self, person: Reviewer) -> None:
        self.__dict__.update(person.__dict__)
        self.rows: list[dict[str, object]] = []
        self.changed_at = 0.0

    def begin_with(self, mask: Mask | None = None) -> Mask:
        """Put the gland in order, with this mask if there is one; returns what it has then."""
        gland = self.session.structures.named(GLAND)
        self.window.table.set_active(gland.id)
        if mask is not None:
            self.session.replace_mask(gland.id, mask, "set up")
        self.view.set_tool("navigate")
        self.window.view.setFocus()
        self.view.centre_on(gland.id)
        self.hover(self.axial, self.axial.rect().center())
        self.pause(400)
        self.picture(f"{len(self.rows) + 1:02d}-before")
        return self.active.mask

    def count(self, what: str, act: Callable[[], None], right: Callable[[Mask, Mask], bool]) -> None:
        """Do a correction, note what it took, and look whether the gland is right."""
        gland = self.session.structures.named(GLAND)
        before = gland.mask
        self.counts.clear()
        self.session.changed.connect(self._note)
        act()
        self.wait(what, lambda: not self.session.structures.get(gland.id).mask.equals(before), 30)
        self.session.changed.disconnect(self._note)
        seconds = self.changed_at - self.sent
        after = self.session.structures.get(gland.id).mask
        if not right(before, after):
            raise Trouble(f"{what}: the result is wrong")
        counts = {kind: self.counts[kind] for kind in ("click", "key", "drag", "wheel")}
        self.rows.append({"what": what, **counts, "all": sum(counts.values()), "seconds": round(seconds, 3)})
        self.picture(f"{len(self.rows):02d}-after")
        while not self.session.structures.get(gland.id).mask.equals(self.start):
            self.session.undo()

    def _note(self, _: object) -> None:
        self.changed_at = time.monotonic()


def more(before: Mask, after: Mask) -> bool:
    """Whether something came and nothing went."""
    return edits.subtract(before, after).is_empty and not edits.subtract(after, before).is_empty


def less(before: Mask, after: Mask) -> bool:
    """Whether something went and nothing came."""
    return more(after, before)


def shape_of(r: Corrector) -> tuple[int, int, int]:
    """The grid's shape."""
    return r.session.structures.grid.shape


def corrections(r: Corrector) -> None:
    """The ten of them."""
    grid, volume = r.session.structures.grid, r.session.case.volume
    r.window.table.set_active(r.session.structures.named(GLAND).id)
    r.start = r.active.mask
    start = r.start

    def by_keys(*keys: str) -> Callable[[], None]:
        return lambda: [r.key(key) for key in keys]  # type: ignore[return-value]

    r.begin_with()
    row, column = r.edge(False)

    def push() -> None:
        r.key("I")
        r.stroke((row, column + 3), (row, column - 3))

    r.count("push an outline outward", push, more)

    r.begin_with()

    def shave() -> None:
        r.key("E")
        r.stroke((row - 3, column), (row + 3, column))

    r.count("shave an overshoot", shave, less)

    far = start.write((2, 2, 2), np.ones((2, 3, 3), bool))
    z, y, x = (s.stop + 3 for s in start.tight.box)
    far = far.write((z, y, x), np.ones((2, 2, 2), bool))
    r.begin_with(far)
    r.count("delete islands", by_keys("Shift+L", "Return"), lambda _, m: m.equals(edits.keep_largest(start)))

    r.begin_with()
    at, k = r.middle(), r.view.cross_index[0]
    holed = start.write((k, at[0] - 1, at[1] - 1), np.zeros((1, 3, 3), bool))
    r.begin_with(holed)
    r.view.go_to(grid.to_world((k, at[0] + 5, at[1] + 5)))

    def fill() -> None:
        r.key("F")
        r.click_at(r.axial, r.spot(at))

    r.count("fill a hole", fill, lambda _, m: m.equals(start))

    r.begin_with()
    k = r.view.cross_index[0]
    up = grid.world_axes[0][1] > 0
    kept = keep_slices(start, 0, *((k, shape_of(r)[0] - 1) if up else (0, k)))
    r.count("cut all below a slice", by_keys("Shift+PgDown", "Return"), lambda _, m: m.equals(kept))

    gaps = start.dense(shape_of(r)).copy()
    first = start.tight.box[0].start
    gaps[[i for i in range(start.tight.box[0].start, start.tight.box[0].stop) if (i - first) % 4]] = False
    drawn = Mask.from_dense(gaps)
    r.begin_with(drawn)
    wanted = edits.interpolate(drawn, grid, 0)
    r.count("interpolate between slices", by_keys("Shift+B", "Return"), lambda _, m: m.equals(wanted))

    r.begin_with()
    grown = edits.grow(start, grid, 3.0)
    r.count("grow by 3 mm", by_keys("Shift+M", "Return"), lambda _, m: m.equals(grown))

    bone = r.session.structures.named(NEIGHBOUR)
    r.begin_with(edits.grow(start, grid, 8.0))
    apart = edits.subtract(r.active.mask, bone.mask)

    def subtract() -> None:
        r.key("Shift+S")
        r.choose("operation_other", NEIGHBOUR)
        r.key("Return")

    r.count("subtract a neighbour", subtract, lambda b, m: m.equals(apart) and not b.equals(apart))

    r.begin_with()
    other = r.session.structures.named(OTHER_SIDE)
    mirrored = mirror(other.mask, grid, midline_x(other.mask, volume))

    def flip() -> None:
        r.key("Shift+O")
        r.choose("operation_other", OTHER_SIDE)
        r.key("Return")

    r.count("mirror from the other side", flip, lambda _, m: m.equals(mirrored))

    undo_accept_next(r)


def undo_accept_next(r: Corrector) -> None:
    """The tenth: a bad edit is taken back, the structure accepted, the next one shown."""
    r.begin_with(edits.grow(r.start, r.session.structures.grid, 5.0))
    gland = r.active
    r.counts.clear()
    r.session.changed.connect(r._note)
    r.key("Ctrl+Z")
    r.key("A")
    seconds = r.changed_at - r.sent
    r.key("J")
    r.session.changed.disconnect(r._note)
    done = r.session.structures.get(gland.id)
    if not done.mask.equals(r.start) or done.decision.state != "accepted" or r.active.id == gland.id:
        raise Trouble("undo, accept, next: the result is wrong")
    counts = {kind: r.counts[kind] for kind in ("click", "key", "drag", "wheel")}
    r.rows.append(
        {"what": "undo, accept, next", **counts, "all": sum(counts.values()), "seconds": round(max(0.0, seconds), 3)}
    )
    r.picture("10-after")


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for pictures and the table, made anew")
    shared = HERE.parents[1] / "shared" / "data" / "headneck_dicom" / "HN_242"
    parser.add_argument("--case", type=Path, default=shared, help="folder of DICOM images")
    parser.add_argument("--size", default="1366x768", help="size of the window")
    options = parser.parse_args()
    out: Path = options.out.absolute()
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    width, height = (int(n) for n in options.size.split("x"))
    person = Corrector(begin(out, (width, height), Ears()))
    wrong = 0
    try:
        open_and_segment(person, options.case, True, print)
        if person.session.reviewer != NAME:
            raise Trouble("the reviewer's name wasn't taken")
        corrections(person)
        if not person.window.close():
            raise Trouble("the window didn't close")
    except Exception as trouble:  # noqa: BLE001 - the program's own hook would take it
        wrong = 1
        print("---", trouble)
        if not isinstance(trouble, Trouble):
            traceback.print_exception(trouble)
        person.window.screen().grabWindow(0).save(str(out / "trouble.png"))
    for number, row in enumerate(person.rows, 1):
        text = ", ".join(f"{row[kind]} {kind}" for kind in ("click", "key", "drag", "wheel") if row[kind])
        print(f"{number:2d} {row['what']:28s} {row['all']}: {text}; {row['seconds']:.2f} s")
    (out / "corrections.json").write_text(json.dumps(person.rows, indent=1))
    sys.stdout.flush()
    os._exit(wrong) if wrong else None  # a run that stopped half-way may leave jobs behind
    return wrong


if __name__ == "__main__":
    sys.exit(main())
