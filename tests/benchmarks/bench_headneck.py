"""Score what ``contourdesk segment --format nifti`` wrote for the head-and-neck test cases.

Run: python tests/benchmarks/bench_headneck.py FOLDER [--data DIR] [--cases N]

FOLDER has a folder for each case with one NIfTI file for each structure. Prints a Markdown table: per organ Dice, 95 %
Hausdorff distance (mm) and surface Dice at 3 mm, on each case's own grid, only for organs that `contoured.json` lists;
cases that `quality.json` calls blanked and whole ones also apart. Labels that it calls wrong are scored like the
others, and then left out in a second table. An organ that was not proposed counts with Dice 0 and surface Dice 0, and
with an infinite distance, which the median of the distances bears.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from common import table

from contourdesk.app.measures import Comparison, compare
from contourdesk.app.naming import label_key
from contourdesk.app.nifti_write import SUFFIX, TOLERANCE_MM, sitk_to_grid
from contourdesk.app.structures import Mask

TOLERANCE_SURFACE_MM = 3.0


@dataclass(frozen=True)
class Score:
    """One organ of one case; `missing` where nothing was proposed."""

    case: str
    organ: str
    blanked: bool
    wrong: bool
    missing: bool
    figures: Comparison


def data_folder() -> Path:
    """The shared data, as the tests find it."""
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("CONTOURDESK_TEST_DATA") or root.parent / "shared" / "data")


def score(data: Path, results: Path, case: str) -> Iterator[Score]:
    """Score the known organs of a case."""
    contoured = json.loads((data / "contoured.json").read_text("utf-8"))[case]["contoured"]
    labels = json.loads((data / "dataset.json").read_text("utf-8"))["labels"]
    quality = json.loads((data / "quality.json").read_text("utf-8"))
    image = sitk.ReadImage(data / "labelsTs" / f"{case}{SUFFIX}")
    reference, grid = sitk.GetArrayViewFromImage(image), sitk_to_grid(image)
    proposed = {label_key(path.name.removesuffix(SUFFIX)): path for path in (results / case).glob(f"*{SUFFIX}")}
    for organ in contoured:
        path, mask = proposed.get(label_key(organ)), Mask()
        if path is not None:
            found = sitk.ReadImage(path)
            if not sitk_to_grid(found).is_close(grid, 10 * TOLERANCE_MM):
                raise SystemExit(f"{case}: {path.name} lies on another grid than the labels.")
            mask = Mask.from_dense(sitk.GetArrayViewFromImage(found))
        figures = compare(Mask.from_dense(reference == labels[organ]), mask, grid, tolerance_mm=TOLERANCE_SURFACE_MM)
        wrong = organ in quality["wrong_labels"].get(case, [])
        yield Score(case, organ, case in quality["blanked"], wrong, mask.is_empty, figures)


def rows(scores: Sequence[Score], organs: Sequence[str]) -> Iterator[list[object]]:
    """A row for each organ, and the mean of the organs."""
    columns = []
    for organ in organs:
        mine = [s for s in scores if s.organ == organ]
        whole, blanked = ([s for s in mine if s.blanked == flag] for flag in (False, True))
        numbers = [
            mean_dice(mine),
            mean_dice(whole),
            mean_dice(blanked),
            min((s.figures.dice for s in mine), default=np.nan),
            median_hd95(mine),
            median_hd95(whole),
            median_hd95(blanked),
            mean([s.figures.surface_dice for s in mine]),
            mean([s.figures.surface_dice for s in whole]),
            mean([s.figures.surface_dice for s in blanked]),
        ]
        columns.append(numbers)
        missing = sum(s.missing for s in mine)
        yield [organ, f"{len(whole)} + {len(blanked)}", missing, *map(shown, numbers)]
    yield ["**mean of organs**", "", "", *(shown(float(np.nanmean(column))) for column in np.transpose(columns))]


def mean(values: Sequence[float]) -> float:
    """Mean, or NaN of nothing."""
    return float(np.mean(values)) if values else float("nan")


def mean_dice(scores: Sequence[Score]) -> float:
    """Mean Dice, or NaN of nothing."""
    return mean([s.figures.dice for s in scores])


def median_hd95(scores: Sequence[Score]) -> float:
    """Median 95 % Hausdorff distance in mm, or NaN of nothing."""
    return float(np.median([s.figures.hd95_mm for s in scores])) if scores else float("nan")


def shown(number: float) -> str:
    """Three decimals for shares, one for mm."""
    return "-" if np.isnan(number) else f"{number:.3f}" if number <= 1 else f"{number:.1f}"


def main(arguments: Sequence[str]) -> None:
    """Read the folder, print the tables."""
    parser = argparse.ArgumentParser(description="Score segmented head-and-neck test cases.")
    parser.add_argument("results", type=Path, help="what contourdesk segment --format nifti wrote")
    parser.add_argument("--data", type=Path, default=data_folder() / "headneck", help="the labels (%(default)s)")
    parser.add_argument("--cases", type=int, help="only the first so many cases")
    options = parser.parse_args(arguments)
    cases = sorted(path.name.removesuffix(SUFFIX) for path in (options.data / "labelsTs").glob(f"*{SUFFIX}"))
    scores = [s for case in cases[: options.cases] for s in score(options.data, options.results, case)]
    organs = [o for o in json.loads((options.data / "dataset.json").read_text("utf-8"))["labels"] if o != "background"]
    head = ["organ", "whole + blanked", "missing", "Dice", "whole", "blanked", "lowest"]
    head += ["HD95 mm", "whole", "blanked", "surface Dice 3 mm", "whole", "blanked"]
    print("Dice and surface Dice: mean over cases. HD95: median over cases.\n")
    table(head, list(rows(scores, organs)))
    wrong = [s for s in scores if s.wrong]
    if wrong:
        print(f"\nWithout {', '.join(f'{s.organ} of {s.case}' for s in wrong)}, whose label is wrong:\n")
        table(head, list(rows([s for s in scores if not s.wrong], organs)))


if __name__ == "__main__":
    main(sys.argv[1:])
