"""A clinic whose corrections make its model better: does it, by how much, and what do organs that nobody reviewed cost?

    python tests/clinic_run.py WORK [--data ../shared/data/headneck] [--base MODEL] [--steps 300] [--base-steps 1400]

Of the training cases 60 are drawn: a model is trained on 30 (or given with --base), then 30 more are "corrected" (their
true contours) and the model is trained on, one run after another on one core each:

    mixed       new cases with all their organs, old cases mixed in
    third       the same with a third of the new cases' organs taken away by chance, and told to be unknown
    background  the same third taken away and told to be contoured, so that it is background
    old         the old cases alone for as many steps: what more training does without corrections

Each model and the first one segment the cases of imagesTs (``contourdesk segment``). Prints the mean Dice over organs,
what was gained with a 95 % bootstrap interval over the cases, and the processor time. What is there already in WORK is
kept, so the same command goes on where it was stopped. Hours on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from contourdesk.app.naming import label_key

SEED, CASES, SPACING = 2026, 30, "2.5,3.9,3.9"
RUNS = ("mixed", "third", "background", "old")
Scores = dict[str, dict[str, float]]  # of a model: case to organ to Dice


def draw(data: Path) -> tuple[list[str], list[str]]:
    """The old cases and the new ones."""
    names = sorted(p.name.removesuffix("_0000.nii.gz") for p in (data / "imagesTr").glob("*_0000.nii.gz"))
    random.Random(SEED).shuffle(names)
    return sorted(names[:CASES]), sorted(names[CASES : 2 * CASES])


def take_away(contoured: dict[str, list[str]]) -> dict[str, list[str]]:
    """A third of what is contoured, by chance: case to organs."""
    pairs = [(case, organ) for case in sorted(contoured) for organ in contoured[case]]
    out: dict[str, list[str]] = {}
    for case, organ in random.Random(SEED).sample(pairs, len(pairs) // 3):
        out.setdefault(case, []).append(organ)
    return out


def make_dataset(
    folder: Path, data: Path, names: list[str], unknown: dict[str, list[str]], background: dict[str, list[str]]
) -> None:
    """An nnU-Net raw dataset of some cases; organs that are unknown, and organs that are there and not labelled."""
    info = json.loads((data / "dataset.json").read_text())
    contoured = json.loads((data / "contoured.json").read_text())
    for sub in ("imagesTr", "labelsTr"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(data / "imagesTr" / f"{name}_0000.nii.gz", folder / "imagesTr" / f"{name}_0000.nii.gz")
        label = sitk.ReadImage(str(data / "labelsTr" / f"{name}.nii.gz"))
        array = sitk.GetArrayFromImage(label)
        gone = [info["labels"][organ] for organ in (*unknown.get(name, ()), *background.get(name, ()))]
        array[np.isin(array, gone)] = 0
        out = sitk.GetImageFromArray(array)
        out.CopyInformation(label)
        sitk.WriteImage(out, str(folder / "labelsTr" / f"{name}.nii.gz"))
    known = {n: [o for o in contoured[n]["contoured"] if o not in unknown.get(n, ())] for n in names}
    (folder / "contoured.json").write_text(json.dumps({n: {"split": "Tr", "contoured": known[n]} for n in names}))
    if (data / "quality.json").is_file():
        shutil.copyfile(data / "quality.json", folder / "quality.json")
    (folder / "dataset.json").write_text(json.dumps(info | {"numTraining": len(names)}))  # last: it is whole


def contourdesk(*arguments: str) -> float:
    """Run the program on one core and return the seconds of processor time that it took."""
    # Started by a short-lived process, whose usage is then that of the program alone.
    code = "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:]).returncode; "
    code += "u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime); sys.exit(r)"
    command = [sys.executable, "-c", code, sys.executable, "-m", "contourdesk", *arguments]
    env = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def train(work: Path, name: str, dataset: Path, *more: str) -> Path:
    """Train a model unless it is there."""
    out = work / "models" / name
    if not (out / "fold_0" / "checkpoint_final.pth").is_file():
        started = time.monotonic()
        resume = ["--resume"] if (out / "training.json").is_file() else []
        seconds = contourdesk(
            "train", str(dataset), "--out", str(out), "--fold", "all", "--threads", "1", *more, *resume
        )
        took = {"processor_s": seconds, "s": time.monotonic() - started, "resumed": bool(resume)}
        (out / "took.json").write_text(json.dumps(took))
        print(f"{name}: {seconds / 60:.1f} min of processor time", flush=True)
    return out


def score(work: Path, name: str, model: Path, data: Path) -> Scores:
    """Segment the test cases and compare them with what is known of them."""
    out = work / "segmented" / name
    path = out / "scores.json"
    if not path.is_file():
        contourdesk("segment", str(data / "imagesTs"), "--out", str(out), "--model", str(model), "--format", "nifti")
        labels = json.loads((data / "dataset.json").read_text())["labels"]
        contoured = json.loads((data / "contoured.json").read_text())
        found: Scores = {}
        for image in sorted((data / "imagesTs").glob("*_0000.nii.gz")):
            case = image.name.removesuffix("_0000.nii.gz")
            truth = sitk.GetArrayFromImage(sitk.ReadImage(str(data / "labelsTs" / f"{case}.nii.gz")))
            place = next(p for p in out.iterdir() if p.is_dir() and p.name.startswith(case))
            found[case] = {}
            files = {label_key(file.name.removesuffix(".nii.gz")): file for file in place.glob("*.nii.gz")}
            for organ in contoured[case]["contoured"]:
                a, file = truth == labels[organ], files.get(label_key(organ))
                b = np.zeros_like(a) if file is None else sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0
                found[case][organ] = float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))
        path.write_text(json.dumps(found))
        print(f"{name}: mean Dice {mean_dice(found, sorted(found)):.4f}", flush=True)
    return json.loads(path.read_text())


def mean_dice(scores: Scores, cases: list[str]) -> float:
    """Mean over organs of the mean over cases, of which one may stand there more than once."""
    organs: dict[str, list[float]] = {}
    for case in cases:
        for organ, value in scores[case].items():
            organs.setdefault(organ, []).append(value)
    return float(np.mean([np.mean(values) for values in organs.values()]))


def gain(one: Scores, other: Scores, draws: int = 5000) -> tuple[float, float, float]:
    """How much better `other` is, with the 95 % interval of a paired bootstrap over the cases."""
    cases = sorted(one)
    chance = np.random.default_rng(SEED)
    picks = [[cases[i] for i in chance.integers(len(cases), size=len(cases))] for _ in range(draws)]
    differences = [mean_dice(other, pick) - mean_dice(one, pick) for pick in picks]
    low, high = np.percentile(differences, (2.5, 97.5))
    return mean_dice(other, cases) - mean_dice(one, cases), float(low), float(high)


def table(scores: dict[str, Scores], took: dict[str, float]) -> list[str]:
    """The result in Markdown."""
    lines = ["| model | mean Dice | against the first model | against mixed | processor time |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for name, found in scores.items():
        row = [name, f"{mean_dice(found, sorted(found)):.4f}"]
        for other in ("base", "mixed"):
            better, low, high = gain(scores[other], found) if other in scores and other != name else (0, 0, 0)
            row.append(f"{better:+.4f} [{low:+.4f}, {high:+.4f}]" if (low, high) != (0, 0) else "")
        row.append(f"{took[name] / 60:.1f} min" if name in took else "")
        lines.append(f"| {' | '.join(row)} |")
    organs = sorted({organ for case in scores["base"].values() for organ in case})
    lines += ["", f"| organ | {' | '.join(scores)} |", f"| --- |{' ---: |' * len(scores)}"]
    for organ in organs:
        values = [np.mean([c[organ] for c in found.values() if organ in c]) for found in scores.values()]
        lines.append(f"| {organ} | {' | '.join(f'{v:.3f}' for v in values)} |")
    return lines


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder for datasets, models and results")
    shared = Path(os.environ.get("CONTOURDESK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=shared / "headneck")
    parser.add_argument("--base", type=Path, help="the first model, trained on the same 30 cases")
    parser.add_argument("--base-steps", type=int, default=1400)
    parser.add_argument("--steps", type=int, default=300, help="of each fine-tuning")
    parser.add_argument("--only", default=",".join(RUNS), help="which runs, with commas between")
    options = parser.parse_args()
    work, data = options.work, options.data
    old, new = draw(data)
    listed = json.loads((data / "contoured.json").read_text())
    gone = take_away({name: listed[name]["contoured"] for name in new})
    for name, cases, unknown, background in (
        ("Old", old, {}, {}), ("New", new, {}, {}), ("Third", new, gone, {}), ("Background", new, {}, gone),
    ):  # fmt: skip
        if not (work / name / "dataset.json").is_file():
            make_dataset(work / name, data, cases, unknown, background)
    base = options.base or train(work, "base", work / "Old", "--steps", str(options.base_steps), "--spacing", SPACING)
    mix = ("--from", str(base), "--steps", str(options.steps), "--mix", str(work / "Old"))
    models, measured = {"base": base}, {}
    with ThreadPoolExecutor(1) as evaluation:  # of one model while the next is trained
        measured["base"] = evaluation.submit(score, work, "base", base, data)
        for name in options.only.split(","):
            dataset = work / {"mixed": "New", "third": "Third", "background": "Background", "old": "Old"}[name]
            models[name] = train(work, name, dataset, *(mix[:4] if name == "old" else mix))
            measured[name] = evaluation.submit(score, work, name, models[name], data)
    times = {name: model / "took.json" for name, model in models.items()}
    took = {name: json.loads(path.read_text())["processor_s"] for name, path in times.items() if path.is_file()}
    print("\n".join(table({name: found.result() for name, found in measured.items()}, took)), flush=True)


if __name__ == "__main__":
    main()
