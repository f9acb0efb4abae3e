"""One case from file to file: our command against nnU-Net's own predictor, as whole processes; and against MONAI.

    python tests/benchmarks/bench_predict.py CASE.nii.gz --model MODEL_FOLDER --rounds 3
    python tests/benchmarks/bench_predict.py --synthetic --model MODEL_FOLDER
    python tests/benchmarks/bench_predict.py --monai --model MODEL_FOLDER   (monai must be importable)

Processes take turns, and the median of each round's ratios counts. Processor seconds (user and system, with
children) are given beside wall seconds, because other programs disturb them less. Memory is the peak of the resident
set. nnU-Net runs in one process, without its workers (``-npp 0 -nps 0``): that is its leanest way.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
THEIRS = """
import sys, torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
p = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
p.initialize_from_trained_model_folder(sys.argv[1], use_folds=None)
p.predict_from_files_sequential([[sys.argv[2]]], [sys.argv[3]])
"""
MONAI = """
import sys, time, json, torch, numpy as np
sys.path[:0] = sys.argv[3:]
from monai.inferers import sliding_window_inference
from contourdesk.inference.nnunet import load_model
from contourdesk.inference.quick import quick
from contourdesk.inference.sliding_window import Slab, Source, mirrored, sliding_slabs
model = load_model(sys.argv[1])
network, patch = model.networks[0], model.settings.patch_size
image = torch.randn(1, 96, 72, 104)
def ours():
    with quick([network], torch.device("cpu")):
        parts = sliding_slabs(Source(image), patch, model.channels, [lambda p: mirrored(network, p, ())])
        return torch.cat([p.logits for p in parts if isinstance(p, Slab)], 1)
def theirs():
    with torch.inference_mode():
        return sliding_window_inference(image[None], patch, int(sys.argv[2]), network, 0.5, "gaussian")
ratios = []
for turn in range(4):
    a = time.process_time(); theirs(); b = time.process_time(); ours(); c = time.process_time()
    ratios.append((b - a) / (c - b))
print(json.dumps(ratios[1:]))
"""


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    wall: float
    cpu: float
    peak_mib: float


def run(command: list[str], environment: dict[str, str]) -> Cost:
    """Run a command to its end and say what it cost."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"{command[:4]} failed: {error.decode()[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def synthetic(path: Path, shape: tuple[int, int, int] = (120, 512, 512)) -> Path:
    """A body of soft tissue with bones and noise in air, 3 x 0.98 x 0.98 mm."""
    import SimpleITK as sitk

    rng = np.random.default_rng(3)
    y, x = np.mgrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    plane = np.full(shape[1:], -1000.0)
    plane[(x / 0.6) ** 2 + (y / 0.45) ** 2 < 1] = 40
    plane[(x / 0.08) ** 2 + ((y - 0.25) / 0.08) ** 2 < 1] = 700
    volume = (plane + rng.normal(0, 20, shape)).astype(np.int16)
    image = sitk.GetImageFromArray(np.clip(volume, -1024, 1500))
    image.SetSpacing((0.98, 0.98, 3.0))
    sitk.WriteImage(image, str(path))
    return path


def compare(case: Path, model: Path, rounds: int, threads: int, place: Path) -> None:
    """Print the table of whole processes."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".dev"), "PYTHONWARNINGS": "ignore"}
    environment |= {"OMP_NUM_THREADS": str(threads)}
    environment |= {name: str(place) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    module = [sys.executable, "-m", "contourdesk", "segment", str(case), "--model", str(model)]
    ours = [*module, "--out", str(place / "ours"), "--format", "nifti", "--device", "cpu"]
    theirs = [sys.executable, "-c", THEIRS, str(model), str(case), str(place / "theirs")]
    pairs = []
    for _ in range(rounds):
        pairs.append((run(theirs, environment), run(ours, environment)))
        print(*pairs[-1], file=sys.stderr, flush=True)
    print("| | nnU-Net | Contourdesk | ratio |\n| --- | --- | --- | --- |")
    for title, name, up in (("wall s", "wall", 1), ("processor s", "cpu", 1), ("peak MiB", "peak_mib", -1)):
        a = [getattr(pair[0], name) for pair in pairs]
        b = [getattr(pair[1], name) for pair in pairs]
        ratio = statistics.median((p / q) ** up for p, q in zip(a, b, strict=True))
        print(f"| {title} | {statistics.median(a):.1f} | {statistics.median(b):.1f} | {ratio:.2f} |", flush=True)


def against_monai(model: Path, batch: int, threads: int, paths: list[str]) -> None:
    """Print how many times as long MONAI's sliding window takes on the same network, windows and step."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / ".dev"), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", MONAI, str(model), str(batch), *paths]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    print(f"MONAI / ours, batches of {batch}: {out.stdout.strip().splitlines()[-1]}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", type=Path)
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "models" / "headneck")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="1 on a busy machine: waiting threads cost time")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--monai", nargs="*", metavar="PATH", help="where monai is installed, if elsewhere")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if options.synthetic:
            compare(synthetic(place / "synthetic_0000.nii.gz"), options.model, options.rounds, options.threads, place)
        if options.case:
            compare(options.case, options.model, options.rounds, options.threads, place)
        if options.monai is not None:
            for batch in (1, 4):
                against_monai(options.model, batch, options.threads, options.monai)


if __name__ == "__main__":
    main()
