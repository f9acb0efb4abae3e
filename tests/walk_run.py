"""A random walk of edits, undos and decisions with kills in between, that must come back bit by bit.

    python tests/walk_run.py [--edits 10000] [--kills 80] [--seed 0] [--keep FOLDER]

A child process opens the review, as the program does after a crash, and goes on with it. Before each edit it tells the
hash of the state that the edit leads to (from a second session, which keeps no journal), and after it that it is done.
It is killed (SIGKILL) at a time that chance chooses: between edits, in one, in a save, in the opening. The next child
must find a state that was told: the one of the last edit that was done, or of the one that was being made. The hash is
of every voxel, name, colour, decision, time and person, and of the last steps of the undo history. At the end all of it
is undone and redone, and the audit trail must be whole and tell of every edit. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import hashlib
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

SAVE_EVERY = 37  # edits


# -- the child ---------------------------------------------------------------------------------------------------


def make_case():
    """Two structures on a small grid, one with imported contours. (Nothing is imported here that a child can spare.)"""
    from contourdesk.app.case import Case, Patient, Source
    from contourdesk.app.contour import Contour
    from contourdesk.app.geometry import Grid
    from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet
    from contourdesk.app.volume import Volume

    grid = Grid.from_spacing((20, 64, 64), (3, 1, 1), (-10, -20, 30), "1.2.9")
    corners = np.array([[0.1, 0.2, 30], [4, 0, 30], [4, 4.123456789, 30]])
    bits = np.random.default_rng(1).random((3, 9, 7)) < 0.5
    items = (
        Structure("Drüse", (1, 2, 3), Mask((1, 5, 6), bits), Provenance("imported"), id="a",
                  contours=(Contour(corners, image_uid="1.2.3"), Contour(corners + 3, kind="POINT"))),
        Structure("Empty", (4, 5, 6), Mask(), Provenance("model", model="m", weights_sha256="ab"), id="b"),
    )  # fmt: skip
    volume = Volume(grid, np.zeros(grid.shape, np.int16))
    return Case(Patient(), volume, Source(Path("/nowhere"), "1.2.840.7"), StructureSet(grid, items))


def everything(structures) -> list[object]:
    """All that there is to a set of structures, in a form that can be compared and hashed."""
    out: list[object] = []
    for s in structures:
        tight = s.mask.tight
        out += [
            tight.offset if tight.bits.size else None,
            tight.bits.shape,
            tight.bits.tobytes(),
            s.id,
            s.name,
            s.colour,
        ]
        out += [s.provenance, s.decision, s.edited, s.interpreted_type]
        out += [(c.points_lps.tobytes(), c.kind, c.image_uid) for c in s.contours or ()]
    return out


@functools.lru_cache(maxsize=100)  # masks never change, and an edit changes one of many
def _voxels(mask) -> tuple[object, ...]:
    tight = mask.tight
    return tight.offset if tight.bits.size else None, tight.bits.shape, tight.bits.tobytes()


def act(session, rng: random.Random) -> None:
    """One random edit, undo, redo or decision; always changes something."""
    from contourdesk.app.errors import UserError
    from contourdesk.app.structures import Mask, Provenance, Structure

    before = session.revision
    while session.revision == before:
        ids = [s.id for s in session.structures]
        kind = rng.choices(
            ("stroke", "erase", "undo", "redo", "decide", "add", "rename", "recolour", "delete", "replace", "model"),
            (30, 10, 22, 8, 10, 4, 3, 3, 2, 4, 3),
        )[0]
        size = [rng.randint(1, 6) for _ in range(3)]
        at = tuple(rng.randrange(n) for n in session.structures.grid.shape)
        bits = np.frombuffer(rng.randbytes(int(np.prod(size))), np.uint8).reshape(size) < rng.choice((128, 256))
        with contextlib.suppress(UserError):
            if kind == "undo":
                session.undo()
            elif kind == "redo":
                session.redo()
            elif kind == "add" and len(ids) < 12:
                session.add(f"Organ {rng.randrange(99)}", mask=Mask.from_dense(bits, (0, 0, 0)))
            elif kind == "model":
                part = Mask.from_dense(bits, (1, 1, 1))
                made = Provenance("model", model="walk", weights_sha256="ab")
                session.add_proposals([Structure(f"Organ {rng.randrange(5)}", (1, 2, 3), part, made)])
            elif not ids:
                continue
            elif kind in ("stroke", "erase"):
                session.paint(rng.choice(ids), at, bits if kind == "stroke" else np.zeros(size, bool), kind)
            elif kind == "replace":
                session.replace_mask(rng.choice(ids), Mask.from_dense(bits, (2, 3, 4)), "smooth")
            elif kind == "decide":
                state = rng.choice(("accepted", "rejected", "unreviewed"))
                session.decide(rng.choice(ids), state, rng.choice(("", "fine", "drüber")))
            elif kind == "rename":
                session.rename(rng.choice(ids), f"Name {rng.randrange(999)}")
            elif kind == "recolour":
                session.recolour(rng.choice(ids), tuple(rng.randrange(256) for _ in range(3)))
            elif kind == "delete" and len(ids) > 3:
                session.delete(rng.choice(ids))


def state_hash(session) -> str:
    """Hash of all that a reviewer could see or get back."""
    digest = hashlib.sha256(repr(session.revision).encode())
    for value in everything(session.structures):
        digest.update(value if isinstance(value, bytes) else repr(value).encode())
    history = session._history
    digest.update(repr((len(history.done), len(history.undone))).encode())
    for edit in (*history.done[-8:], None, *history.undone[-8:]):
        digest.update(repr(None if edit is None else (edit.tool, edit.text, edit.person, edit.time)).encode())
    return digest.hexdigest()[:24]


def _twin(session):
    """A second session in the same state, which keeps no journal."""
    from contourdesk.app.review import ReviewSession

    history = copy.copy(session._history)
    history.done, history.undone = list(history.done), list(history.undone)
    return ReviewSession(
        session.case, session.reviewer, structures=session.structures, revision=session.revision, history=history
    )


def work(folder: Path, seed: int, until: int) -> None:
    """The child: go on with the review until it has `until` edits, telling of each."""
    from contourdesk.app import project, review
    from contourdesk.app.jobs import run

    case = make_case()
    if (folder / project.CASE).exists():
        session = project.resume(case, run(project.load(folder, recover=True)))
    else:
        session = review.ReviewSession(case, "Dr Walk")
    print("at", session.revision, state_hash(session), flush=True)
    journal = run(project.open_review(session.snapshot(), folder))
    journal.attach(session)
    real_now = review.now
    while session.revision < until:
        twin = _twin(session)
        clock = real_now()
        review.now = lambda clock=clock: clock  # both sessions make the same of it
        with _same_ids(f"{seed} {session.revision}"):
            act(twin, random.Random(f"{seed} {session.revision}"))
        print("to", twin.revision, state_hash(twin), flush=True)
        with _same_ids(f"{seed} {session.revision}"):
            act(session, random.Random(f"{seed} {session.revision}"))
        assert state_hash(session) == state_hash(twin)
        print("done", session.revision, flush=True)
        if session.revision % SAVE_EVERY == 0:
            run(project.save(session.snapshot(), folder, journal))
    journal.close()
    print("end", session.revision, state_hash(session), flush=True)


@contextlib.contextmanager
def _same_ids(seed: str):
    """New structures get ids that depend on the seed alone."""
    import uuid

    made, rng = uuid.uuid4, random.Random(seed)
    uuid.uuid4 = lambda: uuid.UUID(int=rng.getrandbits(128), version=4)
    try:
        yield
    finally:
        uuid.uuid4 = made


# -- the parent --------------------------------------------------------------------------------------------------


class Walk:
    """What was told, and whether what comes back agrees with it."""

    def __init__(self, folder: Path, seed: int, edits: int) -> None:
        self.folder, self.seed, self.edits = folder, seed, edits
        self.told: dict[int, str] = {}
        self.done = 0
        self.kills = self.lost = self.ahead = 0
        self.wrong: list[str] = []

    def step(self, edits: int | None, wait_s: float = 0.0) -> bool:
        """Let a child work, for so many edits and `wait_s` more if not to its end; whether it came to its end."""
        code = "import sys, pathlib, walk_run; walk_run.work(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))"
        arguments = [sys.executable, "-c", code, str(self.folder), str(self.seed), str(self.edits)]
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=env) as child:
            assert child.stdout is not None
            out = child.stdout
            buffer = b""
            deadline = None
            while True:
                wait = 5.0 if deadline is None else max(0.0, deadline - time.monotonic())
                ready, _, _ = select.select([out], [], [], wait)
                if ready:
                    got = os.read(out.fileno(), 65536)
                    buffer += got
                    if deadline is None and edits is not None and buffer.count(b"\ndone ") >= edits:
                        deadline = time.monotonic() + wait_s
                    if not got:
                        break
                elif deadline is not None:
                    child.kill()
                    buffer += out.read()
                    break
            child.wait()
        return self._read(buffer)

    def _read(self, told: bytes) -> bool:
        """Compare what a child told with what is known; its last line may be torn."""
        ended = False
        for line in told.split(b"\n")[:-1]:
            word, revision, *rest = line.decode().split()
            number = int(revision)
            if word == "at":
                self._compare(number, rest[0])
            elif word == "to":
                self.told[number] = rest[0]
            elif word == "done":
                self.done = number
            else:
                ended = True
                if self.told.get(number) != rest[0]:
                    self.wrong.append(f"the end, {number}, isn't what was told")
        self.kills += not ended
        return ended

    def _compare(self, revision: int, found: str) -> None:
        if revision == 0 and not self.done:
            self.told[0] = found
            return
        self.lost += revision < self.done
        self.ahead += revision > self.done
        if revision < self.done:
            self.wrong.append(f"revision {revision} came back after {self.done} was done")
        elif revision > self.done + 1:
            self.wrong.append(f"revision {revision} came back, which nobody made after {self.done}")
        elif self.told.get(revision) != found:
            self.wrong.append(f"revision {revision} isn't what it was")
        self.done = revision


def check_end(folder: Path) -> list[str]:
    """Undo and redo all of it, and read the audit trail."""
    from contourdesk.app import project
    from contourdesk.app.audit import read_audit, verify
    from contourdesk.app.jobs import run

    wrong = []
    session = project.resume(make_case(), run(project.load(folder, recover=True)))
    before, count = everything(session.structures), 0
    while session.can_undo:
        session.undo()
        count += 1
    if everything(session.structures) != everything(make_case().structures):
        wrong.append("undoing everything doesn't lead to the beginning")
    for _ in range(count):
        session.redo()
    if everything(session.structures) != before:
        wrong.append("redoing everything doesn't lead to the end")
    wrong += [problem.text for problem in verify(folder)]
    noted = [entry["revision"] for entry in read_audit(folder) if "op" in entry]
    if noted != list(range(1, run(project.load(folder, recover=True)).revision + 1)):
        wrong.append("the audit trail doesn't tell of every edit once")
    return wrong


def walk(folder: Path, seed: int, edits: int, kills: int) -> tuple[Walk, list[str]]:
    """The whole walk, with a kill at any moment of an edit; edits, not seconds, say when, so that all kills happen."""
    told, chance = Walk(folder, seed, edits), random.Random(seed)
    ended = False
    while not ended:
        life = chance.randrange(1, max(2, edits // (kills + 1)))
        ended = told.step(life if told.kills < kills else None, chance.uniform(0, 0.02))
    return told, told.wrong + check_end(folder)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("--edits", 10_000), ("--kills", 80), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--place", type=Path, help="folder to walk in; in memory (/dev/shm) it goes fastest")
    parser.add_argument("--keep", type=Path, help="folder to leave the review in")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="contourdesk-walk-", dir=options.place))
    start = time.monotonic()
    try:
        told, wrong = walk(place / "review", options.seed, options.edits, options.kills)
        if options.keep is not None:
            shutil.copytree(place / "review", options.keep)
        size = sum(f.stat().st_size for f in (place / "review").iterdir())
        for text in wrong:
            print("---", text)
        print(
            f"{told.done} edits, {told.kills} kills; after {told.ahead} of them the edit being made was there too; "
            f"strokes lost: {told.lost}; {len(wrong)} wrong; {size / 1e6:.1f} MB; {time.monotonic() - start:.0f} s"
        )
        return 1 if wrong else 0
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main())
