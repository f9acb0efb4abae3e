"""The 2015 U-Net and the FCN on a phantom: python tests/benchmarks/compare_on_phantom.py unet2015|fcn [STEPS].

Half a minute on one core. Three organs in a noisy disc: 1 a large ellipse, 2 a dark disc, 3 an arc 2 pixels thick.
Prints the Dice on cases that were not trained on. On real CT: compare_networks.py.
"""

import sys
import time

import numpy as np
import torch

from contourdesk.inference.augment import Augmentation
from contourdesk.inference.networks import UNPADDED
from contourdesk.inference.overlap_tile import overlap_tile
from contourdesk.inference.train import set_rate, take_step
from contourdesk.inference.train_plans import SLICE_NETWORKS, TrainConfig
from contourdesk.inference.train_slices import SliceSampler
from contourdesk.inference.train_state import average as follow
from contourdesk.inference.training_data import TrainingCase

TILE, AIR, WIDTH, RATE = (252, 252), -3.0, 4, 3e-3
PLAIN = Augmentation(p_spatial=0, p_mirror=0, p_noise=0, p_blur=0, p_contrast=0, p_gamma=0, p_low_resolution=0)


def phantom(seed: int) -> TrainingCase:
    rng = np.random.default_rng(seed)
    _, y, x = np.indices((8, 60, 68))
    down, right = rng.integers(-4, 5, 2)
    image = np.where((y - 30) ** 2 + ((x - 34) * 0.85) ** 2 < 27**2, 0.0, AIR) + rng.normal(0, 0.3, x.shape)
    labels = np.zeros(x.shape, np.int16)
    height, width, lean = rng.uniform(5, 8), rng.uniform(3, 5), rng.uniform(-0.5, 0.5)
    ellipse = ((x - 20 - right + lean * (y - 30)) / width) ** 2 + ((y - 30 - down) / height) ** 2 < 1
    disc = (x - 46 - right) ** 2 + (y - 34 - down) ** 2 < rng.uniform(2, 3.2) ** 2
    arc = (abs(np.hypot(x - 34 - right, y - 14 - down) - 9) < 1.2) & (y < 18 + down)
    for value, (part, brighter) in enumerate(((ellipse, 1.0), (disc, -1.0), (arc, 1.5)), 1):
        image[part] += brighter
        labels[part] = value
    places = {k: np.argwhere(labels == k) for k in (1, 2, 3)}
    known = torch.ones(4, dtype=torch.bool)
    return TrainingCase("P", torch.from_numpy(image.astype(np.float32)), torch.from_numpy(labels), known, places)


def dice_of(network: torch.nn.Module, cases: list[TrainingCase]) -> list[float]:
    """Mean Dice of each organ on two slices of each case."""
    found = []
    for case in cases:
        job = overlap_tile(case.image[None, 3:5], TILE, 4, network)
        try:
            while True:
                next(job)
        except StopIteration as end:
            result = end.value.argmax(0)
        both = [(result == k, case.labels[3:5] == k) for k in (1, 2, 3)]
        found.append([2 * int((a & b).sum()) / int(a.sum() + b.sum()) for a, b in both])
    return [round(float(v), 3) for v in np.mean(found, axis=0)]


def main(name: str, steps: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(7)
    config = TrainConfig(network=name, batch_size=1, augmentation=PLAIN)
    kind = UNPADDED[SLICE_NETWORKS[name]]
    network = kind(1, 4, WIDTH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=config.weight_decay)
    average = {k: v.detach().clone() for k, v in network.state_dict().items()}
    sampler = SliceSampler([phantom(i) for i in range(12)], config, TILE, AIR, {})
    tested, mean = [phantom(100 + i) for i in range(4)], kind(1, 4, WIDTH).eval()
    for step in range(1, steps + 1):
        set_rate(optimiser, RATE, step / steps, step + 70)
        take_step(network, optimiser, sampler.loss, sampler.batch(step), torch.device("cpu"))
        follow(average, network, min(0.998, (1 + step) / (10 + step)))
        if step % 150 == 0 or step == steps:
            mean.load_state_dict(average)
            print(name, step, dice_of(mean, tested), f"{time.process_time():.0f} s CPU", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 600)
