"""Writing an RTSTRUCT of 40 ROIs on 512x512x200 from masks, against rt-utils and plastimatch.

Run: python tests/benchmarks/bench_rtstruct_write.py [rounds [slices]]. The phantom is that of ``bench_rtstruct.py``,
and so is where rt-utils' own interpreter is named. What isn't there is left out and said so.

What is timed, in turns, each time in a fresh process, files in the page cache, imports left out:

- "masks to file": ours, `write_rtstruct` on an opened case, once with and once without reading the file back and
  comparing every mask and point, which is always done outside this benchmark; rt-utils, `add_roi` of each mask and
  `save`, with the images loaded before and each mask made dense before (which helps it). It checks nothing.
- "masks on disk to file": ours, `scan`, `read_series`, the masks from a file of bits, and `write_rtstruct`, read back;
  plastimatch, the whole of ``plastimatch convert`` from a structure set image, which is one bit a ROI too.

Bars: at least 5 times faster than rt-utils, not slower than plastimatch. How much of the masks is in the files, as our
reader sees them, is printed too.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_rtstruct
import common
import numpy as np

RTUTILS = """
import json, pickle, sys, time
import numpy as np
from rt_utils import RTStructBuilder
folder, masks, target = sys.argv[1:]
rt = RTStructBuilder.create_new(dicom_series_path=folder)
shape, listed = pickle.load(open(masks, "rb"))
taken = 0.0
for name, colour, offset, bits in listed:
    dense = np.zeros(shape, bool)
    dense[tuple(slice(o, o + n) for o, n in zip(offset, bits.shape))] = bits
    dense = np.ascontiguousarray(np.moveaxis(dense, 0, 2))
    start = time.perf_counter()
    rt.add_roi(mask=dense, name=name, color=list(colour))
    taken += time.perf_counter() - start
start = time.perf_counter()
rt.save(target)
print(json.dumps(taken + time.perf_counter() - start))
"""


def prepare(base: Path) -> None:
    """Make the phantom in ``base/case``, and its masks in ``masks.pickle`` and ``ss.mha`` for the others."""
    bench_rtstruct.write(base / "case")
    case = bench_rtstruct._case(str(base / "case"))
    listed = [(s.name, s.colour, s.mask.offset, s.mask.bits) for s in case.structures]
    (base / "masks.pickle").write_bytes(pickle.dumps((case.volume.grid.shape, listed)))
    (base / "images").mkdir()
    for image in (base / "case").iterdir():
        if image.name != "rs.dcm":
            os.link(image, base / "images" / image.name)
    if shutil.which("plastimatch"):
        command = ["plastimatch", "convert", "--input", f"{base}/case/rs.dcm", "--referenced-ct", f"{base}/images"]
        targets = ["--output-ss-img", f"{base}/ss.mha", "--output-ss-list", f"{base}/ss.txt"]
        subprocess.run([*command, *targets], check=True, stdout=subprocess.DEVNULL)


def _opened(base: str):
    from contourdesk.app.structures import Decision, Mask, Provenance, Structure

    case = bench_rtstruct._case(f"{base}/images")
    made = Provenance("model", model="phantom", weights_sha256="ab" * 32)
    accepted = Decision("accepted", "Benchmark", "2026-11-25T09:10:11+00:00")
    listed = pickle.loads(Path(base, "masks.pickle").read_bytes())[1]
    return case, [Structure(n, c, Mask(o, b), made, decision=accepted) for n, c, o, b in listed]


def ours(base: str, style: str, back: str) -> float:
    """Seconds of `write_rtstruct` alone; `back` "no" leaves reading back out."""
    from contourdesk.app import dicom_write

    case, structures = _opened(base)
    if back == "no":
        dicom_write._compare = lambda *_: None  # type: ignore[assignment]
    options = dicom_write.RtStructOptions(style)
    start = time.perf_counter()
    dicom_write.write_rtstruct(case, structures, Path(base) / f"{style}.dcm", options=options)
    return time.perf_counter() - start


def ours_from_disk(base: str) -> float:
    """Seconds from images and masks on disk to the file, read back."""
    from contourdesk.app import dicom_write

    start = time.perf_counter()
    case, structures = _opened(base)
    dicom_write.write_rtstruct(case, structures, Path(base) / "disk.dcm")
    return time.perf_counter() - start


def agreement(base: str, name: str) -> tuple[float, float]:
    """Dice, least and median over the ROIs, of what a file holds, as our reader sees it, and the masks."""
    from contourdesk.app.rtstruct_read import read_rtstruct

    case, structures = _opened(base)
    found = {s.name: s.mask for s in read_rtstruct(Path(base) / name, case)}
    shape, all_dice = case.volume.grid.shape, []
    for s in structures:
        a, b = s.mask.dense(shape), found[s.name].dense(shape)
        all_dice.append(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))
    return min(all_dice), statistics.median(all_dice)


def rtutils(python: str, base: str) -> float:
    """Seconds that rt-utils took."""
    command = [python, "-c", RTUTILS, f"{base}/images", f"{base}/masks.pickle", f"{base}/rtutils.dcm"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def plastimatch(base: str) -> float:
    """Seconds of ``plastimatch convert`` from a structure set image to an RTSTRUCT."""
    inputs = ["--input-ss-img", f"{base}/ss.mha", "--input-ss-list", f"{base}/ss.txt"]
    command = ["plastimatch", "convert", *inputs, "--referenced-ct", f"{base}/images"]
    start = time.perf_counter()
    subprocess.run([*command, "--output-dicom", f"{base}/pm"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Make the phantom in a temporary folder, measure in turns, print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    if len(sys.argv) > 2:
        bench_rtstruct.SHAPE = (int(sys.argv[2]), 512, 512)
    python = os.environ.get(bench_rtstruct.VARIABLE, "")
    with tempfile.TemporaryDirectory() as base:
        prepare(Path(base))
        ways = [("voxel edges", "yes"), ("voxel edges", "no"), ("smooth", "yes"), ("smooth", "no")]
        taken: dict[object, list[float]] = {}
        for _ in range(rounds):
            for way in ways:
                taken.setdefault(way, []).append(common.result("bench_rtstruct_write:ours", base, *way))
            taken.setdefault("disk", []).append(common.result("bench_rtstruct_write:ours_from_disk", base))
            if python:
                taken.setdefault("rt-utils", []).append(rtutils(python, base))
            if shutil.which("plastimatch"):
                taken.setdefault("plastimatch", []).append(plastimatch(base))
        rows = []
        for style, back in ways:
            what = f"masks to file, {style}, {'read back' if back == 'yes' else 'not read back'}"
            rows.append(_row(what, "rt-utils", taken[style, back], taken.get("rt-utils"), 5))
        rows.append(_row("masks on disk to file, voxel edges, read back", "plastimatch", taken["disk"],
                         taken.get("plastimatch"), 1))  # fmt: skip
        common.table(("what", "against", "ours s", "theirs s", "times faster", "bar"), rows)
        files = ["voxel edges.dcm", "smooth.dcm", *(["rtutils.dcm"] if python else [])]
        files += [f"pm/{p.name}" for p in Path(base, "pm").glob("rtss*.dcm")]
        found = {name: common.result("bench_rtstruct_write:agreement", base, name) for name in files}
        common.table(
            ("file", "MiB", "least Dice", "median Dice"),
            [(n, Path(base, n).stat().st_size / 2**20, f"{d[0]:.5f}", f"{d[1]:.5f}") for n, d in found.items()],
        )


def _row(what: str, against: str, ours: list[float], theirs: list[float] | None, bar: int) -> tuple[object, ...]:
    if theirs is None:
        return what, against, statistics.median(ours), "left out: not found", "", bar
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return what, against, statistics.median(ours), statistics.median(theirs), ratio, bar


if __name__ == "__main__":
    main()
