"""What bench_window.py measures on: a CT of 512x512x200, 60 structures, and edits that can be made any number of times.

One structure is the body (30 MB of bits), three are large, all others lie side by side on every slice that is shown.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy import ndimage

SHAPE, SPACING = (200, 512, 512), (2.0, 0.9, 0.9)
STRUCTURES, SHOWN, EDITS = 60, 30, 500
MIDDLE = 100


def image():
    """HU, int16: noisy tissue in air."""
    noise = np.random.default_rng(1).normal(0, 30, SHAPE).astype(np.int16)
    return np.where(_body_plane() <= 1, np.int16(40), np.int16(-1000)) + noise


def _body_plane():
    y, x = np.ogrid[-256:256, -256:256]
    return (y / 160) ** 2 + (x / 220) ** 2


def masks():
    """`STRUCTURES` masks, the body first; organs wobble along z so that no two slices have the same outlines."""
    from contourdesk.app.structures import Mask

    z = np.arange(200)[:, None, None]
    out = [Mask.from_dense(_body_plane() <= 1 - np.abs((z - MIDDLE) / 103) ** 4)]
    z = np.arange(10, 190)[:, None, None]
    for n in range(STRUCTURES - 1):
        radius = 50 if n in (20, 35, 50) else 16 + n * 7 % 14
        r = np.arange(-radius, radius + 1)
        rho, theta = np.hypot(r[:, None], r), np.arctan2(r[:, None], r)
        bits = rho <= radius * (0.85 + 0.1 * np.sin(z / 12 + n)) * (0.92 + 0.08 * np.sin(3 * theta + z / 20 + n))
        row, column = 256 + 34 * (n // 8) - 119, 256 + 48 * (n % 8) - 168
        out.append(Mask.from_dense(bits, (10, row - radius, column - radius)))
    return out


def structures(grid, model: str = "bench", prefix: str = "S"):
    """The masks as a model's proposals."""
    from contourdesk.app.structures import Provenance, Structure

    colours = [(255 - 3 * n, 80 + 2 * n, 40 * (n % 6)) for n in range(STRUCTURES)]
    made = Provenance("model", model=model, weights_sha256="ab" * 32)
    names = [f"{prefix}{n}" for n in range(STRUCTURES)]
    return tuple(Structure(name, c, m, made) for name, c, m in zip(names, colours, masks(), strict=True))


def session(array, *, empty: bool = False):
    """A review of the phantom; `empty` without structures."""
    from contourdesk.app.case import Case, Patient, Source
    from contourdesk.app.geometry import Grid
    from contourdesk.app.review import ReviewSession
    from contourdesk.app.structures import StructureSet
    from contourdesk.app.volume import Volume

    grid = Grid.from_spacing(SHAPE, SPACING, (0, 0, 0), "1.2.3")
    items = () if empty else structures(grid)
    source = Source(Path("/nowhere"), "1.2.3.4")
    return ReviewSession(Case(Patient(), Volume(grid, array), source, StructureSet(grid, items)), "Dr Bench")


# -- edits -------------------------------------------------------------------------------------------------------


def stroke(review, structure_id: str, centre, *, ball: bool, add: bool = True, mm: float = 20.0) -> None:
    """A stroke of 20 mm length round `centre` (z, y, x), as a tool gives it to the session."""
    from contourdesk.app.footprints import stroke as sweep

    z, y, x = centre
    offset, bits = sweep(review.structures.grid, [(z, y, x - 11), (z, y, x + 11)], mm / 2, None if ball else 0)
    box = tuple(slice(o, o + n) for o, n in zip(offset, bits.shape, strict=True))
    old = review.structures.get(structure_id).mask.read(box)
    review.paint(structure_id, offset, old | bits if add else old & ~bits, "paint" if add else "erase")


def grow(review, structure_id: str, *, shrink: bool = False) -> None:
    """An operation on a whole structure."""
    from contourdesk.app.structures import Mask

    mask = review.structures.get(structure_id).mask
    change = ndimage.binary_erosion if shrink else ndimage.binary_dilation
    offset = tuple(max(o - 1, 0) for o in mask.offset)
    room = [(o - a, 1) for o, a in zip(mask.offset, offset, strict=True)]
    bits = change(np.pad(mask.bits, room))[tuple(slice(0, n - o) for n, o in zip(SHAPE, offset, strict=True))]
    review.replace_mask(structure_id, Mask.from_dense(bits, offset), "margin")


def edit(review, number: int) -> None:
    """The `number`-th of a row of edits: mostly strokes on organs, some on the body, balls, margins."""
    rng = np.random.default_rng(number)
    items = list(review.structures)
    chosen = items[0 if number % 20 == 3 else int(rng.integers(1, len(items)))]
    box = chosen.mask.box
    z = int(rng.integers(40, 160))
    y, x = (int(rng.integers(s.start, s.stop)) for s in box[1:])
    if number % 20 == 0:
        grow(review, chosen.id, shrink=number % 40 == 0)
    else:
        stroke(review, chosen.id, (z, y, x), ball=number % 20 in (1, 2), add=bool(rng.integers(2)), mm=10)


def edits(review):
    """Make `EDITS` edits, one for each turn of this generator."""
    number, last = 0, review.revision + EDITS
    while review.revision < last:
        number += 1
        edit(review, number)
        yield


def save_review(ct: str, folder: str) -> int:
    """A review of the series in `ct` with all structures and edits, saved in `folder`; returns its revision."""
    os.environ["CONTOURDESK_HOME"] = tempfile.mkdtemp()
    from contourdesk.app.dicom_read import read_series, scan
    from contourdesk.app.jobs import run
    from contourdesk.app.project import open_review, save
    from contourdesk.app.review import ReviewSession

    (info,) = run(scan(Path(ct)))
    review = ReviewSession(run(read_series(info)), "Dr Bench")
    review.add_proposals(structures(review.structures.grid))
    journal = run(open_review(review.snapshot(), Path(folder)))
    journal.attach(review)
    for _ in edits(review):
        pass
    run(save(review.snapshot(), Path(folder), journal))
    journal.close()
    return review.revision
