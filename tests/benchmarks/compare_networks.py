"""What skip connections bring: the 2015 U-Net and the FCN, trained alike and scored on held-out cases.

    python tests/benchmarks/compare_networks.py DATASET WORK --steps 1500 --width 8 --train 85 --test 12

DATASET is an nnU-Net raw dataset with imagesTs. Both networks take their steps in turns, so that whatever else the
machine does hits both. Prints the table of docs/networks.md. Started again, it goes on where it was stopped.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from contourdesk.app.image_read import read_image_file
from contourdesk.app.jobs import run
from contourdesk.app.measures import dice, surface_distances
from contourdesk.app.naming import suggest
from contourdesk.app.structures import Mask
from contourdesk.inference.nnunet import load_model
from contourdesk.inference.predict import predict
from contourdesk.inference.train import FINAL, train
from contourdesk.inference.train_plans import TrainConfig
from contourdesk.inference.training_data import RawDataset

NETWORKS = {"fcn": "FCN, no skips", "unet2015": "U-Net of 2015"}


def part_of(dataset: Path, cases: list[str], folder: Path) -> Path:
    """A dataset of some of the training cases, by links."""
    for sub, end in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        (folder / sub).mkdir(parents=True, exist_ok=True)
        for case in cases:
            link = folder / sub / (case + end)
            if not link.exists():
                link.symlink_to((dataset / sub / (case + end)).resolve())
    for name in ("dataset.json", "contoured.json", "quality.json"):
        if (dataset / name).is_file():
            (folder / name).write_text((dataset / name).read_text())
    return folder


def train_both(data: Path, work: Path, options: argparse.Namespace) -> None:
    jobs = {}
    for network in NETWORKS:
        out = work / network
        out.mkdir(parents=True, exist_ok=True)
        if not (out / "preprocessed").exists():
            (work / "preprocessed").mkdir(exist_ok=True)
            (out / "preprocessed").symlink_to((work / "preprocessed").resolve())
        config = TrainConfig(
            network=network,
            steps=options.steps,
            width=options.width,
            batch_size=options.batch,
            spacing_mm=tuple(options.spacing),
            learning_rate=options.rate,
            threads=options.threads,
            checkpoint_minutes=1,
        )
        if not (out / FINAL).is_file():
            jobs[network] = train(data, out, config, resume=True)
    while jobs:
        for network, job in list(jobs.items()):
            step = next(job, None)
            if step is None:
                del jobs[network]
            elif step.done % 50 == 0:
                print(time.strftime("%H:%M:%S"), network, step.text, f"{time.process_time():.0f} s CPU", flush=True)


def score(dataset: RawDataset, case: str, work: Path) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Dice, mean surface distance (mm) and HD95 (mm) of each known organ, for each network."""
    image = read_image_file(dataset.folder / "imagesTs" / f"{case}_0000.nii.gz")
    truth = read_image_file(dataset.folder / "labelsTs" / f"{case}.nii.gz")
    known = dataset.known(case)
    out: dict[str, dict[str, tuple[float, float, float]]] = {}
    for network in NETWORKS:
        found = {s.name: s.mask for s in run(predict(image.volume, load_model(work / network), "cpu"))}
        for organ, value in dataset.labels.items():
            right = Mask.from_dense(np.asarray(truth.volume.array == value))
            if known[value] and not right.is_empty:
                mask = found[suggest(organ) or organ]
                apart = surface_distances(mask, right, image.volume.grid)
                out.setdefault(organ, {})[network] = (dice(mask, right), apart.mean_mm(), apart.hausdorff_mm())
    return out


def print_table(scores: list[dict[str, dict[str, tuple[float, float, float]]]]) -> None:
    organs = sorted({organ for one in scores for organ in one})
    print("| organ | cases | " + " | ".join(f"Dice, {n} | surface mm, {n} | missed, {n}" for n in NETWORKS) + " |")
    print("| --- | ---: |" + " ---: |" * 3 * len(NETWORKS))
    means: dict[str, list[float]] = {network: [] for network in NETWORKS}
    for organ in organs:
        cells = [organ, str(sum(organ in one for one in scores))]
        for network in NETWORKS:
            values = np.array([one[organ][network] for one in scores if organ in one])
            finite = values[np.isfinite(values[:, 1]), 1]
            means[network].append(float(values[:, 0].mean()))
            distance = f"{np.median(finite):.1f}" if finite.size else "-"
            cells += [f"{values[:, 0].mean():.3f}", distance, str(len(values) - len(finite))]
        print("| " + " | ".join(cells) + " |")
    print("mean Dice of the organs:", {n: round(float(np.mean(v)), 4) for n, v in means.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--spacing", type=float, nargs=2, default=(3.9, 3.9))
    parser.add_argument("--train", type=int, default=85, help="training cases, evenly over the list")
    parser.add_argument("--test", type=int, default=12, help="test cases, evenly over the unblanked ones")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dataset = RawDataset.open(options.dataset)
    cases = dataset.cases()
    chosen = [cases[i] for i in np.linspace(0, len(cases) - 1, min(options.train, len(cases))).round().astype(int)]
    train_both(part_of(options.dataset, chosen, options.work / "data"), options.work, options)
    quality = options.dataset / "quality.json"
    blanked = json.loads(quality.read_text()).get("blanked", []) if quality.is_file() else []
    whole = [case for case in dataset.cases("Ts") if case not in blanked]
    tested = [whole[i] for i in np.linspace(0, len(whole) - 1, min(options.test, len(whole))).round().astype(int)]
    scores = []
    for case in tested:
        scores.append(score(dataset, case, options.work))
        print(time.strftime("%H:%M:%S"), case, json.dumps(scores[-1]), flush=True)
    print_table(scores)


if __name__ == "__main__":
    main()
