"""Comparing two masks of 512x512x200 with DeepMind's `surface-distance`. Run: python tests/benchmarks/bench_metrics.py.

Timed for them: `compute_surface_distances` on two bool arrays, then `compute_dice_coefficient`, surface Dice at 3 mm,
average surface distance, 95 and 100 % Hausdorff distance. Three ways of ours are timed, which all give the same figures
(checked here to 1e-6), the volumes and the added path length besides:

- masks: `compare` on two `Mask`, as the program holds them, which know their boxes;
- arrays: from the same two arrays, `Mask.from_dense` included;
- cropped: as masks, and they get arrays that were cropped to the box of both beforehand, which is not timed.

Organs are ellipsoids with a bumpy surface, the second one drawn anew with other bumps. "apart" are surfaces that lie 15
to 25 mm from each other everywhere, the hardest for us. Bar: median ratio of the rounds >= 5.
"""

from __future__ import annotations

import sys
import warnings
from functools import lru_cache, partial

import common
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contourdesk.app.geometry import Grid
from contourdesk.app.measures import Comparison, compare
from contourdesk.app.structures import Mask

SHAPE, SPACING = (200, 512, 512), (2.5, 0.977, 0.977)
GRID = Grid.from_spacing(SHAPE, SPACING)
TOLERANCE_MM = 3.0
# Radii along z, y, x in mm, and by how many mm the second is smaller.
ORGANS = {
    "parotid": ((25, 22, 16), 0.5),
    "mandible-sized": ((40, 45, 50), 0.5),
    "lung": ((120, 90, 60), 1.0),
    "body": ((240, 120, 190), 1.0),
    "lung, apart": ((120, 90, 60), 20.0),
}
Bits = NDArray[np.bool_]


@lru_cache(maxsize=1)
def pair(organ: str) -> tuple[Bits, Bits]:
    """Two drawings of an organ on the whole grid."""
    radii, smaller = ORGANS[organ]
    return draw(radii, 0.0, seed=1), draw(radii, smaller, seed=2)


def draw(radii_mm: tuple[float, ...], smaller_mm: float, seed: int) -> Bits:
    """Ellipsoid in the middle of the grid whose surface waves by about a millimetre and a half."""
    half = [int(r / s) + 6 for r, s in zip(radii_mm, SPACING, strict=True)]
    axes = np.ogrid[tuple(slice(-h, h + 1) for h in half)]
    scaled = [a * s / (r - smaller_mm) for a, s, r in zip(axes, SPACING, radii_mm, strict=True)]
    depth = (1 - np.sqrt(sum(a**2 for a in scaled))) * (min(radii_mm) - smaller_mm)
    coarse = [-(-n // k) for n, k in zip(depth.shape, (3, 8, 8), strict=True)]
    rough = np.random.default_rng(seed).normal(0, 1.5, coarse)
    waves = ndimage.zoom(rough, [n / m for n, m in zip(depth.shape, rough.shape, strict=True)], order=1)
    out = np.zeros(SHAPE, bool)
    box = [slice(max(n // 2 - h, 0), min(n // 2 + h + 1, n)) for n, h in zip(SHAPE, half, strict=True)]
    part = tuple(slice(b.start - n // 2 + h, b.stop - n // 2 + h) for b, n, h in zip(box, SHAPE, half, strict=True))
    out[tuple(box)] = (depth + waves > 0)[part]
    return out


@lru_cache(maxsize=1)
def masks(organ: str) -> tuple[Mask, Mask]:
    """The pair as the program holds it."""
    a, b = pair(organ)
    return Mask.from_dense(a), Mask.from_dense(b)


@lru_cache(maxsize=1)
def cropped(organ: str) -> tuple[Bits, Bits]:
    """The pair, cut to the box of both."""
    a, b = pair(organ)
    box = Mask.from_dense(a | b).box
    return a[box].copy(), b[box].copy()


def figures(found: Comparison) -> list[float]:
    """What both packages compute."""
    return [found.dice, found.surface_dice, found.hd95_mm, found.hausdorff_mm, found.mean_surface_distance_mm]


def ours(organ: str) -> list[float]:
    """From masks."""
    return figures(compare(*masks(organ), GRID, tolerance_mm=TOLERANCE_MM))


def ours_from_arrays(organ: str) -> list[float]:
    """From arrays of the whole grid."""
    a, b = pair(organ)
    return figures(compare(Mask.from_dense(a), Mask.from_dense(b), GRID, tolerance_mm=TOLERANCE_MM))


def theirs(organ: str) -> list[float]:
    """DeepMind's package on arrays of the whole grid."""
    return deepmind(*pair(organ))


def theirs_cropped(organ: str) -> list[float]:
    """DeepMind's package on arrays that are as small as can be."""
    return deepmind(*cropped(organ))


def deepmind(a: Bits, b: Bits) -> list[float]:
    """The figures in the order of `figures`."""
    import surface_distance as package

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses old names of scipy's
        found = package.compute_surface_distances(a, b, SPACING)
    areas = [found["surfel_areas_gt"].sum(), found["surfel_areas_pred"].sum()]
    hausdorff = partial(package.compute_robust_hausdorff, found)
    return [
        float(package.compute_dice_coefficient(a, b)),
        float(package.compute_surface_dice_at_tolerance(found, TOLERANCE_MM)),
        float(hausdorff(95)),
        float(hausdorff(100)),
        float(np.average(package.compute_average_surface_distance(found), weights=areas)),
    ]


WAYS = {"ours": ours, "ours_from_arrays": ours_from_arrays, "theirs": theirs, "theirs_cropped": theirs_cropped}


def agree(organ: str) -> float:
    """Largest difference between any of our figures and theirs."""
    expected = np.array(theirs(organ))
    return float(max(np.abs(np.array(way(organ)) - expected).max() for way in WAYS.values()))


def main(arguments: list[str]) -> None:
    """Print the table; organs can be named on the command line."""
    head = ["organ", "our ms", "their s", "ratio", "arrays: our ms", "ratio", "cropped: their s", "ratio", "differ by"]
    rows = []
    for organ in arguments or ORGANS:
        ways = {name: f"bench_metrics:{name}" for name in WAYS}
        found = common.times(ways, organ, rounds=3 if organ == "body" else 5)
        rows.append(
            [
                organ,
                1000 * found.median("ours"),
                found.median("theirs"),
                found.ratio("theirs", "ours"),
                1000 * found.median("ours_from_arrays"),
                found.ratio("theirs", "ours_from_arrays"),
                found.median("theirs_cropped"),
                found.ratio("theirs_cropped", "ours"),
                common.result("bench_metrics:agree", organ),
            ]
        )
        print(f"{organ}: done", file=sys.stderr)
    common.table(head, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
