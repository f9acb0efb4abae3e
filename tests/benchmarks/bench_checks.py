"""False alarms of the checks on reference contours, and planted errors that they find.

Run: python tests/benchmarks/bench_checks.py DATA [--cases 41] [--planted 12]; DATA is the shared data folder. The
contours are those of its ``headneck/labelsTs``; the limits of the checks were set on its training cases. An error is
planted in one structure of a case at a time; "as such" counts findings of the kind that was planted on that structure,
"at all" any finding that the sound case doesn't have.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contourdesk.app.case import Case
from contourdesk.app.checks import Finding, check
from contourdesk.app.image_read import read_image_file
from contourdesk.app.jobs import run
from contourdesk.app.naming import suggest
from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet

Bits = NDArray[np.bool_]
Organs = dict[str, Bits]
TAPER = ("Parotid_L", "Parotid_R", "Bone_Mandible")


@dataclass(frozen=True, eq=False)
class Planted:
    """What was done, the kind of finding that is right, the structures, and on which the finding should be."""

    what: str
    kind: str
    structures: list[Structure]
    target: str | None = None


def structure(name: str, bits: Bits, source: str = "model") -> Structure:
    return Structure(name, (0, 0, 0), Mask.from_dense(bits), Provenance(source), id=name)


def read(data: Path, label: Path, labels: dict[str, int]) -> tuple[Case, Organs]:
    stem = label.name.removesuffix(".nii.gz")
    case = read_image_file(data / "headneck" / "imagesTs" / f"{stem}_0000.nii.gz")
    drawn = read_image_file(label).volume.array
    found = {suggest(name) or name: drawn == value for name, value in labels.items() if value}
    return case, {name: bits for name, bits in found.items() if bits.any()}


def found_on(case: Case, items: list[Structure]) -> list[Finding]:
    return run(check(StructureSet(case.volume.grid, tuple(items)), case.volume))


def with_changes(organs: Organs, changes: dict[str, Bits | None]) -> list[Structure]:
    return [structure(name, bits) for name, bits in {**organs, **changes}.items() if bits is not None]


def plants(case: Case, organs: Organs) -> Iterator[Planted]:
    for name, bits in organs.items():
        if np.count_nonzero(bits.any(axis=(1, 2))) >= 6:
            for what, kind, changed in damages(case, name, bits):
                yield Planted(what, kind, with_changes(organs, {name: changed}), None if kind == "position" else name)
            moved = np.roll(bits, round(20 / case.volume.grid.spacing_mm[0]), axis=0)
            came = replace(structure(f"{name} (2)", moved, "imported"), id="imported")
            yield Planted("imported one 20 mm higher", "imported", [*with_changes(organs, {}), came])
    yield from exchanges(organs)
    spacing = case.volume.grid.spacing_mm
    for name, other in (("Brainstem", "SpinalCord"), ("Parotid_L", "Bone_Mandible"), ("Parotid_R", "Bone_Mandible")):
        if name in organs and other in organs:
            grown = ndimage.distance_transform_edt(~organs[name], sampling=spacing) <= 10
            if (grown & organs[other]).any():
                yield Planted("10 mm grown into its neighbour", "overlap", with_changes(organs, {name: grown}))


def damages(case: Case, name: str, bits: Bits) -> Iterator[tuple[str, str, Bits]]:
    spacing = case.volume.grid.spacing_mm
    drawn = np.flatnonzero(bits.any(axis=(1, 2)))
    middle = drawn[len(drawn) // 2]
    row, column = np.argwhere(bits[middle]).mean(axis=0).astype(int)
    yield "empty", "empty", np.zeros_like(bits)
    yield "a slice missing", "gap", edited(bits, np.s_[middle], False)
    away = min(max(row + int(40 / spacing[1]), 2), bits.shape[1] - 3)
    if not bits[middle - 2 : middle + 3, away - 2 : away + 4, column - 2 : column + 4].any():
        yield "island of 4 voxels", "island", edited(bits, np.s_[middle, away : away + 2, column : column + 2], True)
    inner = np.argwhere(ndimage.binary_erosion(bits[middle], np.ones((3, 3))))
    if len(inner) > 2:
        yield "hole of a voxel", "hole", edited(bits, (middle, *inner[len(inner) // 2]), False)
    if name in TAPER:
        yield "lower half missing", "truncated", edited(bits, np.s_[:middle], False)
        yield "upper third missing", "truncated", edited(bits, np.s_[drawn[2 * len(drawn) // 3] :], False)
    yield "12 mm too large", "volume", ndimage.distance_transform_edt(~bits, sampling=spacing) <= 12
    small = ndimage.distance_transform_edt(bits, sampling=spacing) > 6
    if small.any():
        yield "6 mm too small", "volume", small
    skin = np.flatnonzero(ndimage.binary_fill_holes(case.volume.array[middle] > -300)[:, column])  # type: ignore[operator]
    if skin.size and row > skin[0]:
        yield "moved half out of the body", "outside", moved(bits, 1, skin[0] - row)
    if drawn[0] > 0:
        yield "drawn on to the first slice", "edge", edited(bits, np.s_[: drawn[0]], bits[drawn[0]])
    higher = moved(bits, 0, round(60 / spacing[0]))
    if higher.sum() > 0.5 * bits.sum():
        yield "60 mm too high", "position", higher
    if name in ("Larynx", "Bone_Mandible", "Esophagus"):
        yield "60 mm too far back", "position", moved(bits, 1, round(60 / spacing[1]))


def exchanges(organs: Organs) -> Iterator[Planted]:
    left, right, jaw = (organs.get(name) for name in ("Parotid_L", "Parotid_R", "Bone_Mandible"))
    if left is not None and right is not None:
        yield Planted("sides swapped", "side", with_changes(organs, {"Parotid_L": right, "Parotid_R": left}))
        one = with_changes(organs, {"Parotid_L": right, "Parotid_R": None})
        yield Planted("one with the other's name", "side", one, "Parotid_L")
    if left is not None and jaw is not None:
        called = with_changes(organs, {"Parotid_L": jaw, "Bone_Mandible": None})
        yield Planted("mandible called parotid", "value", called, "Parotid_L")
        called = with_changes(organs, {"Bone_Mandible": left, "Parotid_L": None})
        yield Planted("parotid called mandible", "value", called, "Bone_Mandible")
    if "Brainstem" in organs and "Larynx" in organs:
        swapped = {"Brainstem": organs["Larynx"], "Larynx": organs["Brainstem"]}
        yield Planted("brainstem and larynx exchanged", "position", with_changes(organs, swapped))


def edited(bits: Bits, where: object, value: object) -> Bits:
    out = bits.copy()
    out[where] = value  # type: ignore[index]
    return out


def moved(bits: Bits, axis: int, by: int) -> Bits:
    """Moved along an axis; what leaves the grid is gone."""
    out = np.roll(bits, by, axis)
    index: list[slice] = [slice(None)] * 3
    index[axis] = slice(0, by) if by > 0 else slice(by, None)
    out[tuple(index)] = False
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=41)
    parser.add_argument("--planted", type=int, default=12)
    options = parser.parse_args()
    labels = json.loads((options.data / "headneck" / "dataset.json").read_text())["labels"]
    files = sorted((options.data / "headneck" / "labelsTs").glob("*.nii.gz"))
    counts: Counter[tuple[str, str]] = Counter()
    structures = 0
    for file in files[: options.cases]:
        case, organs = read(options.data, file, labels)
        structures += len(organs)
        found = found_on(case, with_changes(organs, {}))
        counts.update((f.kind, f.severity) for f in found)
        for f in found:
            print(f"  {file.name.removesuffix('.nii.gz')}: {f.severity}: {f.text}")
    grave = sum(n for (_, severity), n in counts.items() if severity != "info")
    print(f"{options.cases} cases, {structures} structures: {grave} warnings and errors, {dict(counts)}")
    tally: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for file in files[::2][: options.planted]:
        case, organs = read(options.data, file, labels)
        sound = {(f.kind, f.structure_id) for f in found_on(case, with_changes(organs, {}))}
        for planted in plants(case, organs):
            fresh = [f for f in found_on(case, planted.structures) if (f.kind, f.structure_id) not in sound]
            right = any(f.kind == planted.kind and planted.target in (None, f.structure_id) for f in fresh)
            row = tally[planted.what, planted.kind]
            row[0], row[1], row[2] = row[0] + 1, row[1] + right, row[2] + bool(fresh)
    for (what, kind), (n, right, any_of) in tally.items():
        print(f"{what:35} {kind:10} planted {n:3}, found as such {right:3}, at all {any_of:3}")
    totals = np.sum(list(tally.values()), axis=0)
    print(f"in all: planted {totals[0]}, found as such {totals[1]}, at all {totals[2]}")


if __name__ == "__main__":
    main()
