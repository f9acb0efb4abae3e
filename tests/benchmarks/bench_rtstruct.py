"""Reading an RTSTRUCT of 40 ROIs on 512x512x200, against rt-utils and plastimatch.

Run: python tests/benchmarks/bench_rtstruct.py [rounds]. rt-utils needs an interpreter of its own (its OpenCV disturbs
Qt): make a virtual environment, install rt-utils there, and give its python in CONTOURDESK_RTUTILS_PYTHON; without it,
as without plastimatch, that row is left out and said so.

What is timed, in turns, each time in a fresh process, files in the page cache, imports left out:

- "file to masks": ours, `read_rtstruct` on an opened case, from the file to a mask of each ROI in its box, all checks
  included; rt-utils, `get_roi_mask_by_name` for each ROI, with file and images loaded before (which helps it).
- "folder to masks": ours, `scan` and `read_series`, which reads pixels and structures; rt-utils,
  `RTStructBuilder.create_from` and `get_roi_mask_by_name` for each ROI.
- "folder to masks on disk": ours, the same and all masks as one bit each in a raw file; plastimatch, the whole of
  ``plastimatch convert`` to a structure set image, which is one bit a ROI too (its start, 0.0x s, included).

Bars: at least 10 times faster than rt-utils, not slower than plastimatch. Dice with both readers' masks is printed too.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import common
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.jobs import run
from contourdesk.app.rtstruct_read import read_rtstruct

sys.path.insert(0, str(common.HERE.parent))

SHAPE = (200, 512, 512)
SPACING_MM = (2.0, 0.9, 0.9)
ROIS = 40
VARIABLE = "CONTOURDESK_RTUTILS_PYTHON"
RTUTILS = """
import json, sys, time
import numpy as np
from rt_utils import RTStructBuilder
folder, path, keep = sys.argv[1:]
start = time.perf_counter()
rt = RTStructBuilder.create_from(dicom_series_path=folder, rt_struct_path=path)
loaded = time.perf_counter()
counts, first = {}, {}
for name in rt.get_roi_names():
    mask = rt.get_roi_mask_by_name(name)
    counts[name] = 0
    if keep == "keep":
        first[name] = np.packbits(np.moveaxis(mask, 2, 0)).tobytes().hex() if name == "Organ 07" else ""
        counts[name] = int(mask.sum())
done = time.perf_counter()
print(json.dumps({"file": done - loaded, "folder": done - start, "counts": counts, "first": first.get("Organ 07", "")}))
"""


# -- the phantom -------------------------------------------------------------------------------------------------


def outline(k: int, centre: NDArray[np.float64], radii: NDArray[np.float64], seed: int, points: int) -> list[float]:
    """A wobbly ellipse on slice `k` of an ellipsoid, in mm; flat list of x, y, z."""
    depth = (k * SPACING_MM[0] - centre[2]) / radii[2]
    if abs(depth) >= 1:
        return []
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    wobble = 1 + 0.08 * np.sin(3 * turn + seed) + 0.05 * np.sin(7 * turn + k / 9) + 0.02 * np.sin(23 * turn)
    size = np.sqrt(1 - depth**2) * wobble
    x, y = centre[0] + radii[0] * size * np.cos(turn), centre[1] + radii[1] * size * np.sin(turn)
    return np.round(np.column_stack([x, y, np.full(points, k * SPACING_MM[0])]), 2).ravel().tolist()


def rois() -> list[tuple[str, list[tuple[int, list[float]]]]]:
    """(name, contours as (slice, points)): a body, two lungs, and organs of 2 to 9 cm; some with a hole."""
    rng = np.random.default_rng(1)
    middle = np.array([230.0, 230.0, 200.0])
    shapes = [("Body", middle, np.array([190.0, 130.0, 600.0]), 500)]
    shapes += [("Lung", middle + np.array([side, 0, 0]), np.array([55.0, 75.0, 130.0]), 250) for side in (-90, 90)]
    while len(shapes) < ROIS:
        centre = middle + rng.uniform((-120, -70, -150), (120, 70, 150))
        shapes.append(("Organ", centre, rng.uniform((10, 10, 50), (45, 45, 110)), 200))
    out = []
    for n, (kind, centre, radii, points) in enumerate(shapes):
        contours = []
        for k in range(SHAPE[0]):
            one = outline(k, centre, radii, n, points)
            contours += [(k, one)] if one else []
            if n % 10 == 5:
                hole = outline(k, centre, radii / 3, n, points)
                contours += [(k, hole)] if hole else []
        out.append((f"{kind} {n:02d}", contours))
    return out


def write(folder: Path) -> Path:
    """CT and structure set, both with pydicom alone; returns the latter, which lies beside the CT's files."""
    from bench_opening import body
    from phantoms import Roi, make_ct, make_rtstruct

    ct = make_ct(folder, SHAPE, SPACING_MM, origin_lps=(0, 0, 0), hu=body(SHAPE))
    listed = [
        Roi(name, [("CLOSED_PLANAR", np.reshape(points, (-1, 3)), ct.image_uids[k]) for k, points in contours])
        for name, contours in rois()
    ]

    def strings(ds: Dataset) -> None:
        for item in ds.ROIContourSequence:
            for number, contour in enumerate(item.ContourSequence, 1):
                contour.ContourNumber = number

    return make_rtstruct(folder / "rs.dcm", ct, listed, edit=strings)


# -- the ways, each in a fresh process ---------------------------------------------------------------------------


def ours_file(folder: str) -> float:
    """Seconds from the file to masks."""
    (info,) = run(scan(Path(folder)))
    case = run(read_series(replace(info, rtstructs=())))
    start = time.perf_counter()
    structures = read_rtstruct(Path(folder) / "rs.dcm", case)
    taken = time.perf_counter() - start
    assert len(structures) == ROIS
    return taken


def ours_folder(folder: str, target: str = "") -> float:
    """Seconds from the folder to a case with structures, and where `target` is named, to a file of packed bits."""
    start = time.perf_counter()
    (info,) = run(scan(Path(folder)))
    case = run(read_series(info))
    if target:
        packed = np.zeros((len(case.structures) + 7) // 8 * case.volume.array.size, np.uint8)
        planes = packed.reshape(-1, *case.volume.grid.shape)
        for i, structure in enumerate(case.structures):
            view = planes[i // 8][structure.mask.box]
            view |= structure.mask.bits.view(np.uint8) << np.uint8(i % 8)
        packed.tofile(target)
    taken = time.perf_counter() - start
    assert len(case.structures) == ROIS
    return taken


def our_counts(folder: str) -> dict[str, int]:
    """Voxels by ROI."""
    return {s.name: s.mask.count for s in _case(folder).structures}


def our_bits(folder: str, name: str) -> str:
    """One ROI's bits, packed, as text."""
    case = _case(folder)
    structure = case.structures.named(name)
    assert structure is not None
    return np.packbits(structure.mask.dense(case.volume.grid.shape)).tobytes().hex()


def _case(folder: str) -> Case:
    (info,) = run(scan(Path(folder)))
    return run(read_series(info))


def rtutils(python: str, folder: str, keep: str = "") -> dict[str, object]:
    """What rt-utils took and found."""
    images = [p for p in Path(folder).iterdir() if p.name != "rs.dcm"]
    with tempfile.TemporaryDirectory() as alone:
        for image in images:
            os.link(image, Path(alone) / image.name)
        command = [python, "-c", RTUTILS, alone, str(Path(folder) / "rs.dcm"), keep]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def plastimatch(folder: str, target: str) -> float:
    """Seconds of ``plastimatch convert`` to one structure set image."""
    command = ["plastimatch", "convert", "--input", f"{folder}/rs.dcm", "--referenced-ct", folder]
    start = time.perf_counter()
    subprocess.run([*command, "--output-ss-img", f"{target}.mha"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Make the phantom in a temporary folder, measure in turns, print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    python = os.environ.get(VARIABLE, "")
    with tempfile.TemporaryDirectory() as base:
        folder, target = base + "/case", base + "/masks"
        write(Path(folder))
        print(f"RTSTRUCT {(Path(folder) / 'rs.dcm').stat().st_size / 2**20:.1f} MiB", flush=True)
        rows = []
        if python:
            taken: dict[str, list[float]] = {"file": [], "folder": [], "their file": [], "their folder": []}
            for _ in range(rounds):
                theirs = rtutils(python, folder)
                taken["their file"].append(float(str(theirs["file"])))
                taken["their folder"].append(float(str(theirs["folder"])))
                taken["file"].append(common.result("bench_rtstruct:ours_file", folder))
                taken["folder"].append(common.result("bench_rtstruct:ours_folder", folder))
            rows.append(_row("file to masks", "rt-utils", taken["file"], taken["their file"], "10"))
            rows.append(_row("folder to masks", "rt-utils", taken["folder"], taken["their folder"], "10"))
        else:
            print(f"rt-utils left out: {VARIABLE} isn't set.")
        if shutil.which("plastimatch"):
            pairs = _pairs(
                rounds,
                lambda: common.result("bench_rtstruct:ours_folder", folder, target),
                lambda: plastimatch(folder, target),
            )
            rows.append(_row("folder to masks on disk", "plastimatch", *pairs, "1"))
        else:
            print("plastimatch left out: not found.")
        common.table(("what", "against", "ours s", "theirs s", "times faster", "bar"), rows)
        if python:
            _agreement(python, folder)


def _pairs(rounds: int, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[list[float], list[float]]:
    taken = [(ours(), theirs()) for _ in range(rounds)]
    return [a for a, _ in taken], [b for _, b in taken]


def _row(what: str, against: str, ours: list[float], theirs: list[float], bar: str) -> tuple[object, ...]:
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return what, against, statistics.median(ours), statistics.median(theirs), ratio, bar


def _agreement(python: str, folder: str) -> None:
    """How far rt-utils' masks (whose points are rounded to whole pixels) are from ours."""
    theirs = rtutils(python, folder, "keep")
    ours = common.result("bench_rtstruct:our_counts", folder)
    counts = dict(theirs["counts"])  # type: ignore[call-overload]
    excess = statistics.median(counts[name] / n for name, n in ours.items() if n)
    a, b = (
        np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
        for text in (common.result("bench_rtstruct:our_bits", folder, "Organ 07"), str(theirs["first"]))
    )
    dice = 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
    print(f"rt-utils' volumes are {excess:.3f} of ours (median); Dice of one organ {dice:.4f}")


if __name__ == "__main__":
    main()
