"""How long prompts, flood, grow from seeds and a mouse move of the livewire take on 512x512x200.

Run: python tests/benchmarks/bench_prompts.py

An organ of 30 mm in noise, 50 HU from what lies round it. The processor's time of the thread is printed beside the
wall's, so that other programs on the machine don't count. Bars: a second for a prompt, 30 ms for a mouse move.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.livewire import Livewire
from contourdesk.app.prompts import Prompt, refine
from contourdesk.app.regions import flood
from contourdesk.app.seeds import grow_from_seeds
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

T = TypeVar("T")


def timed(what: str, function: Callable[[], T]) -> T:
    """Run, print and return."""
    wall, cpu = time.perf_counter(), time.thread_time()
    out = function()
    print(f"{what:28s} {time.thread_time() - cpu:6.3f} s of the processor, {time.perf_counter() - wall:6.3f} s in all")
    return out


def main() -> None:
    """Make the image and measure."""
    grid = Grid.from_spacing((200, 512, 512), (3.0, 0.98, 0.98))
    z, y, x = np.ogrid[:200, :512, :512]
    organ = ((z - 100) * 3.0) ** 2 + ((y - 256) * 0.98) ** 2 + ((x - 256) * 0.98) ** 2 <= 30**2
    array = np.random.default_rng(0).normal(0, 12, grid.shape).astype(np.int16)
    array[organ] += 50
    volume = Volume(grid, array)
    half = Mask.from_dense(organ & (x < 262))
    box = Prompt("box", True, 0, ((100.0, 224.0, 224.0), (100.0, 288.0, 288.0)))
    for reach in (10.0, 15.0, 25.0):
        click = Prompt("point", True, 0, ((100.0, 256.0, 256.0),))
        timed(f"click, reach {reach:g} mm", lambda c=click, r=reach: run(refine(Mask(), volume, [c], reach_mm=r)))
    timed("box, reach 15 mm", lambda: run(refine(Mask(), volume, [box], reach_mm=15.0)))
    missing = Prompt("point", True, 0, ((100.0, 256.0, 275.0),))
    timed("click beside half an organ", lambda: run(refine(half, volume, [missing], reach_mm=15.0)))
    timed("flood, 30 mm", lambda: flood(volume, (100, 256, 256), 30, radius_mm=30.0))
    timed("grow from seeds, 15 mm", lambda: run(grow_from_seeds(half, [], volume, reach_mm=15.0)))
    wire = Livewire(array[100], (0.98, 0.98), (25, 200))
    wire.add((256.0, 226.0))
    spent = []
    for step in range(100):
        begun = time.thread_time()
        wire.way_to((256.0 - 1.5 * step, 226.0 + 1.5 * step))
        spent.append(1000 * (time.thread_time() - begun))
    print(
        f"{'livewire, a mouse move':28s} {statistics.median(spent):.2f} ms in the middle, {max(spent):.1f} ms at most"
    )


if __name__ == "__main__":
    main()
