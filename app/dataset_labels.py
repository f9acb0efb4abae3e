"""Structures that may overlap to nnU-Net's labels: a label map in which the smaller wins, or regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.dataset_index import IGNORE, DatasetIndex
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Structure


def flatten(values: Sequence[tuple[int, Structure]], grid: Grid) -> tuple[NDArray[np.generic], dict[str, int]]:
    """Label map (z, y, x) of structures, smaller over larger, and the voxels that each structure lost by that."""
    array = np.zeros(grid.shape, np.uint8 if max(v for v, _ in values) < 256 else np.uint16)
    for value, s in sorted(values, key=lambda pair: -pair[1].mask.count):
        array[s.mask.box][s.mask.bits] = value
    lost = {s.name: s.mask.count - int(np.count_nonzero(array[s.mask.box] == value)) for value, s in values}
    return array, {name: count for name, count in lost.items() if count}


def nest(index: DatasetIndex, structures: Mapping[str, Structure], case: str) -> DatasetIndex:
    """The index with the regions that lie in each other in this case.

    Parameters
    ----------
    structures : by label.
    case : its name; what an earlier export of it said doesn't count.

    Raises
    ------
    UserError : two structures overlap without one lying in the other, or not as in the cases before.
    """
    found: dict[str, set[str]] = {label: set() for label in structures}
    for one, other in combinations(structures, 2):
        inner, outer = sorted((one, other), key=lambda label: (structures[label].mask.count, index.labels[label]))
        shared = _shared(structures[inner], structures[outer])
        if 0 < shared < structures[inner].mask.count:
            raise UserError(
                f'"{structures[one].name}" and "{structures[other].name}" overlap, and neither lies in the other, '
                "so they can't be regions.",
                'Export with overlaps "masks" (one file each) or "smaller" (a label map).',
            )
        if shared:
            found[inner].add(outer)
    before = {name: set(entry["contoured"]) for name, entry in index.contoured.items() if name != case}
    parents = dict(index.parents)
    for inner in structures:
        outer_ones = sorted(found[inner], key=lambda label: structures[label].mask.count)
        known = [label for label in _chain(index.parents, inner) if label in structures]
        changed = set(outer_ones) ^ set(known)
        if not changed:
            continue
        unsure = IGNORE in index.labels and any(
            inner not in organs and changed & organs for organs in before.values()
        )  # there it should have been ignored
        if unsure or any(inner in organs and changed & organs for organs in before.values()):
            what = f"lies in {outer_ones[0]}" if outer_ones else f"doesn't lie in {known[0]}"
            raise UserError(
                f"{inner} {what} in this case, and it was otherwise in the cases before.",
                'Export it into a dataset with overlaps "masks".',
            )
        parents.pop(inner, None)
        if outer_ones:
            parents[inner] = outer_ones[0]
    return replace(index, parents=parents)


def region_map(index: DatasetIndex, structures: Mapping[str, Structure], grid: Grid) -> NDArray[np.generic]:
    """Label map (z, y, x) in which each voxel has the value of the innermost structure."""
    order = sorted(structures, key=lambda label: (index.depth(label), index.labels[label]))
    array = np.zeros(grid.shape, np.uint8 if max(index.labels.values()) < 256 else np.uint16)
    for label in order:
        mask = structures[label].mask
        array[mask.box][mask.bits] = index.labels[label]
    return array


def put_ignore(array: NDArray[np.generic], index: DatasetIndex, known: Sequence[str]) -> int:
    """Write nnU-Net's ignore label, in place, wherever an organ may be that nobody contoured; count those voxels.

    Outside the known organs the unknown ones may be anywhere, so all of that is ignored, and so is a region of which
    it isn't known what lies in it. What a known organ holds is kept. Where all organs are known nothing is ignored.
    """
    unknown = [label for label in index.organs if label not in known]
    if not unknown or IGNORE not in index.labels:
        return 0
    doubtful = [0, *(index.labels[label] for label in known if set(index.inner(label)) & set(unknown))]
    where = np.isin(array, doubtful)
    array[where] = index.labels[IGNORE]
    return int(np.count_nonzero(where))


def _chain(parents: Mapping[str, str], label: str) -> list[str]:
    out = []
    while label in parents:
        label = parents[label]
        out.append(label)
    return out


def _shared(one: Structure, other: Structure) -> int:
    return int(np.count_nonzero(one.mask.bits & other.mask.read(one.mask.box)))
