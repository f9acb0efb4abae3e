"""Is the case that the worklist puts first one that the model is bad at?

    python tests/learning_run.py MODEL [--data ../shared/data/headneck] [--split Ts] [--first 10]

Orders cases that the model has never seen by the rule of `contourdesk.app.learning_order` and compares that with the
true contours: the rank correlation of the score with what is missing in Dice, and how much Dice is missing in the first
cases of the list against as many cases drawn at random. An organ's Dice counts against the same organ's mean, so that
a case isn't hard because it has hard organs. That is not the same as a model that learns more from these cases: only
training on both orders would show that, which takes hours (`clinic_run.py` shows what a round brings).
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from contourdesk.app.jobs import run
from contourdesk.app.learning_order import scores, unsure_of
from contourdesk.app.naming import label_key
from contourdesk.app.opening import open_path
from contourdesk.inference.nnunet import load_models
from contourdesk.inference.options import Options
from contourdesk.inference.predict import predict


def measure(model: Path, data: Path, split: str) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Case to organ to how unsure the model is, and to Dice (known organs alone)."""
    loaded = load_models(model)
    labels = json.loads((data / "dataset.json").read_text())["labels"]
    contoured = json.loads((data / "contoured.json").read_text())
    unsure: dict[str, dict[str, float]] = {}
    dice: dict[str, dict[str, float]] = {}
    for path in sorted((data / f"images{split}").glob("*_0000.nii.gz")):
        name = path.name.removesuffix("_0000.nii.gz")
        case = run(open_path(path))
        found = run(predict(case.volume, loaded, "cpu", Options(probabilities=True)))
        unsure[name] = {s.name: unsure_of(found.confidence[s.id]) for s in found if s.id in found.confidence}
        truth = sitk.DICOMOrient(sitk.ReadImage(str(data / f"labels{split}" / f"{name}.nii.gz")), "LPS")
        array = sitk.GetArrayFromImage(truth)
        masks = {label_key(s.name): s.mask.dense(case.volume.grid.shape) for s in found}
        dice[name] = {}
        for organ in contoured[name]["contoured"]:
            a, b = array == labels[organ], masks[label_key(organ)]
            dice[name][organ] = float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))
        print(name, flush=True)
    return unsure, dice


def missing(dice: dict[str, dict[str, float]]) -> dict[str, float]:
    """How much worse each case is than its organs are on average."""
    organs = {organ for case in dice.values() for organ in case}
    mean = {organ: np.mean([case[organ] for case in dice.values() if organ in case]) for organ in organs}
    return {name: float(np.mean([mean[o] - v for o, v in case.items()])) for name, case in dice.items() if case}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = Path(os.environ.get("CONTOURDESK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=shared / "headneck")
    parser.add_argument("--split", default="Ts")
    parser.add_argument("--first", type=int, default=10)
    options = parser.parse_args()
    unsure, dice = measure(options.model, options.data, options.split)
    worse, order = missing(dice), scores(unsure)
    names = sorted(set(worse) & set(order))
    a, b = (np.array([values[name] for name in names]) for values in (order, worse))
    ranks = [np.argsort(np.argsort(v)) for v in (a, b)]
    count = min(options.first, len(names))
    chance = np.random.default_rng(0)
    rho = float(np.corrcoef(*ranks)[0, 1])
    shuffled = [np.corrcoef(ranks[0], chance.permutation(ranks[1]))[0, 1] for _ in range(5000)]
    first = b[np.argsort(-a)[:count]].mean()
    drawn = [chance.choice(b, count, replace=False).mean() for _ in range(5000)]
    p = np.mean(np.array(shuffled) >= rho)
    print(f"{len(names)} cases; rank correlation of score and missing Dice {rho:.2f}, p {p:.4f}")
    print(
        f"the first {count}: Dice {first:.3f} below their organs' means; at random {np.mean(drawn):.3f} "
        f"(95 % of draws {np.percentile(drawn, 2.5):.3f} to {np.percentile(drawn, 97.5):.3f})"
    )


if __name__ == "__main__":
    main()
