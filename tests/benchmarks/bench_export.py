"""How long the export of 30 reviews to a training dataset takes, apart from copying: ``bench_export.py HEADNECK WORK``.

HEADNECK is an nnU-Net raw dataset with ``contoured.json``; its cases become reviews whose proposals are shifted by a
voxel, so that figures on the change have to be worked out for every structure. Processor time is what counts on a busy
machine.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import SimpleITK as sitk

CASES = 30


def make_reviews(data: Path, root: Path) -> None:
    from contourdesk.app import project
    from contourdesk.app.image_read import read_image_file
    from contourdesk.app.jobs import run
    from contourdesk.app.review import ReviewSession
    from contourdesk.app.structures import Decision, Mask, Provenance, Structure, StructureSet

    labels = json.loads((data / "dataset.json").read_text())["labels"]
    contoured = json.loads((data / "contoured.json").read_text())
    for path in sorted((data / "imagesTr").glob("*.nii.gz"))[:CASES]:
        name = path.name.removesuffix("_0000.nii.gz")
        case = read_image_file(path)
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(data / "labelsTr" / f"{name}.nii.gz")))
        made = []
        for organ in contoured[name]["contoured"]:
            mask = Mask.from_dense(array == labels[organ])
            if not mask.is_empty:
                first = replace(mask, offset=(mask.offset[0], mask.offset[1], max(0, mask.offset[2] - 1)))
                s = Structure(organ, (200, 0, 0), mask, Provenance("model", model="headneck"), first=first, edited=True)
                made.append(replace(s, decision=Decision("accepted", "Bench", "2026-11-25T09:10:11+00:00")))
        session = ReviewSession(case, "Bench", structures=StructureSet(case.volume.grid, tuple(made)))
        run(project.save(session.snapshot(), root / name))


def main() -> None:
    data, work = Path(sys.argv[1]), Path(sys.argv[2])
    os.environ["CONTOURDESK_HOME"] = str(work / "home")
    from contourdesk.app.cli import main as contourdesk

    shutil.rmtree(work, ignore_errors=True)
    make_reviews(data, work / "reviews")
    for turn in ("new", "again"):
        cpu, wall = time.process_time(), time.perf_counter()
        code = contourdesk(["export", str(work / "reviews"), "--out", str(work / "Dataset501_X"), "--format", "nnunet"])
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        files = [p for p in (work / "Dataset501_X").rglob("*") if p.is_file()]
        size = sum(p.stat().st_size for p in files) / 1e6
        print(f"{turn}: exit {code}, {cpu:.1f} s of processor time, {wall:.1f} s, {len(files)} files, {size:.0f} MB")


if __name__ == "__main__":
    main()
