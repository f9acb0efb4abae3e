"""A reviewed case to training data in nnU-Net's raw layout, de-identified, read back before it counts.

The dataset folder holds ``imagesTr/<case>_0000.nii.gz``, ``labelsTr/<case>.nii.gz``, ``dataset.json`` and, beside what
nnU-Net knows, ``contoured.json``: which organs a person accepted in each case. An organ that isn't named there is
unknown in that case, not background. ``manifest.json`` tells where each case came from, ``splits_final.json`` who is
held out when, ``datalist.json`` the same for MONAI.

Structures that overlap are kept in one of three ways, for the whole dataset: "smaller" (a label map, in which the
smaller one gets the voxels, and what others lose is told), "regions" (nnU-Net's region-based labels, where of any two
that overlap one lies in the other), "masks" (``masksTr/<case>/<label>.nii.gz``, one file for each structure).
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from contourdesk.app.case import Case
from contourdesk.app.checks_sides import check_sides
from contourdesk.app.dataset_commit import DatasetLock, commit, staging
from contourdesk.app.dataset_index import (
    CONTOURED_FILE,
    DATASET_FILE,
    FILE_ENDING,
    MANIFEST_FILE,
    MASKS,
    REGIONS,
    DatasetIndex,
    case_names,
    read_index,
)
from contourdesk.app.dataset_labels import flatten, nest, put_ignore, region_map
from contourdesk.app.dataset_manifest import (
    DATALIST_FILE,
    SPLITS_FILE,
    case_entry,
    datalist_json,
    manifest_json,
    splits_json,
    structure_entry,
)
from contourdesk.app.deface import find_face
from contourdesk.app.deidentify import Pseudonyms
from contourdesk.app.deidentify_case import check_name
from contourdesk.app.deidentify_dicom import refuse_burned_in, warnings_of
from contourdesk.app.errors import UserError
from contourdesk.app.identifiers import Identifiers
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.nifti_write import file_names, write_image
from contourdesk.app.structures import Structure, StructureSet

__all__ = ["ExportReport", "export_case", "flatten"]

log = logging.getLogger(__name__)

MAX_NAME = 60


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Parameters
    ----------
    name : the case's name in the dataset, which tells nothing about the patient.
    image, label, folder : the files and the dataset; `label` is the folder of masks where each has a file.
    labels : label values of the structures in this case, by the dataset's names.
    lost_voxels : by structure, voxels that another, smaller structure got, because a label map holds one each.
    left_out : structure and why.
    replaced : whether the case was there before.
    resampled : how its image was resampled from what the scanner made; empty when it was not.
    unknown : labels of the dataset that nobody contoured in this case.
    ignored : voxels that got nnU-Net's ignore label, because an unknown organ may be there.
    face : what was done to the face; empty when it was left.
    """

    name: str
    folder: Path
    image: Path
    label: Path
    labels: dict[str, int]
    lost_voxels: dict[str, int]
    left_out: dict[str, str]
    replaced: bool
    resampled: str = ""
    unknown: tuple[str, ...] = ()
    ignored: int = 0
    face: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, in sentences."""
        out = list(self.warnings)
        if self.replaced:
            out.append(f"{self.name} was in the dataset already and was replaced.")
        if self.resampled:
            out.append(f"The image was resampled: {self.resampled}")
        for name, count in self.lost_voxels.items():
            out.append(f"{name} lost {count} voxels to smaller structures that overlap it.")
        for name, reason in self.left_out.items():
            out.append(f"{name} was left out: {reason}.")
        if self.unknown:
            ignored = f"; {self.ignored} voxels got the ignore label" if self.ignored else ""
            out.append(f"Unknown in this case, not background: {', '.join(self.unknown)}{ignored}.")
        out.append(f"Names, IDs, dates and UIDs were left out. {self.face or _FACE}")
        return tuple(out)


_FACE = "A CT of the head still shows the shape of the face."


@dataclass(frozen=True, eq=False)
class _Plan:
    """What goes where: the index with this case in it, and the structures by label."""

    index: DatasetIndex
    name: str
    chosen: dict[str, Structure]
    left_out: dict[str, str]
    unknown: tuple[str, ...]


def export_case(
    case: Case,
    structures: Sequence[Structure],
    folder: Path,
    *,
    labels: Sequence[str] | None = None,
    name: str | None = None,
    only_accepted: bool = True,
    overlaps: str | None = None,
    ignore: bool = False,
    deface: bool = False,
    names: Mapping[str, str] | None = None,
) -> Job[ExportReport]:
    """Add a case to a dataset, or replace it there; the dataset is made when it isn't there yet.

    Until everything is written and proved, the dataset stays as it was, also when the program is killed. Of two
    exports to one dataset, the second waits.

    Parameters
    ----------
    structures : on the case's grid.
    labels : organ names that the dataset shall have, in this order, before others are added.
    name : the case's name instead of a hash; must tell nothing about the patient.
    only_accepted : whether only accepted structures go in.
    overlaps : how structures that overlap are kept, see above; as the dataset does unless given ("smaller" at first).
    ignore : whether the dataset has nnU-Net's ignore label, for voxels where an organ may be that nobody contoured.
    deface : whether the face is taken out of the image.
    names : structure names and the labels that they mean, kept in the dataset.

    Raises
    ------
    UserError : nothing to export, two structures mean one organ, they overlap in a way that the dataset can't keep, a
        name tells who somebody is, another kind of dataset, or a file can't be written.
    """
    yield Progress(0, 4, "Looking at the dataset")
    refuse_burned_in(case.source.header)
    checked_name = None if name is None else _checked(name)
    made_here = not folder.exists()
    lock = DatasetLock(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield from lock.take()
        index = read_index(folder).with_overlaps(overlaps).with_names(names or {})
        plan = _plan(case, structures, index, labels or (), checked_name, only_accepted, ignore)
        return (yield from _export(case, plan, folder, deface))
    except OSError as error:
        raise UserError(
            f"The case could not be written in {folder} ({error.strerror}).", "Check its space and permissions."
        ) from error
    finally:
        lock.release()
        if made_here:
            _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _plan(
    case: Case,
    structures: Sequence[Structure],
    index: DatasetIndex,
    labels: Sequence[str],
    name: str | None,
    only_accepted: bool,
    ignore: bool,
) -> _Plan:
    """Raises UserError."""
    chosen, left_out = _choose(case, structures, only_accepted, index)
    identifiers = Identifiers.of(case, structures)
    for s in chosen:
        if s.name not in index.names:
            check_name(s.name, identifiers)
    index = index.with_labels(labels, as_given=True).with_labels([s.name for s in chosen])
    if ignore:
        if index.overlaps == MASKS:
            raise UserError("A dataset with one mask for each structure needs no ignore label.", "Leave it out.")
        index = index.with_ignore()
    by_label = _by_label(chosen, index)
    index = index.with_names({s.name: label for label, s in by_label.items()})
    name = name or Pseudonyms.of(case).case_name(case.source.series_uid)
    how = case.source.resampled
    organs = [label for label in index.organs if label in by_label]
    if index.overlaps == REGIONS:
        index = nest(index, by_label, name)
    index = index.with_case(name, organs, "" if how is None else how.text)
    unknown = tuple(label for label in index.organs if label not in by_label)
    return _Plan(index, name, {label: by_label[label] for label in organs}, left_out, unknown)


def _export(case: Case, plan: _Plan, folder: Path, deface: bool) -> Job[ExportReport]:
    index, name, grid = plan.index, plan.name, case.volume.grid
    identifiers = Identifiers.of(case, list(plan.chosen.values()))
    image = f"imagesTr/{name}_0000{FILE_ENDING}"
    replaced = (folder / image).exists()
    face = find_face(case.volume, list(plan.chosen.values())) if deface else None
    with staging(folder) as work:
        yield Progress(1, 4, "Writing the image")
        files = {image: work / f"{name}_0000{FILE_ENDING}"}
        write_image(case.volume.array if face is None else face.apply(case.volume.array), grid, files[image])
        yield Progress(2, 4, "Writing the labels")
        lost: dict[str, int] = {}
        ignored = 0
        if index.overlaps == MASKS:
            files |= _write_masks(plan, case, work)
        else:
            if index.overlaps == REGIONS:
                array = region_map(index, plan.chosen, grid)
            else:
                array, lost = flatten([(index.labels[label], s) for label, s in plan.chosen.items()], grid)
            ignored = put_ignore(array, index, list(plan.chosen))
            files[f"labelsTr/{name}{FILE_ENDING}"] = work / f"{name}{FILE_ENDING}"
            write_image(array, grid, work / f"{name}{FILE_ENDING}")
        yield Progress(3, 4, "Putting them into the dataset")
        told = {k: structure_entry(s, grid, identifiers, lost.get(s.name, 0)) for k, s in plan.chosen.items()}
        patient = Pseudonyms.of(case).code
        entry = case_entry(patient, files, told, plan.left_out, identifiers)
        index = replace(index, cases={**index.cases, name: {**entry, **({"face": face.text} if face else {})}})
        old = plan.index.cases.get(name, {}).get("files", {})
        gone = tuple(place for place in old if place not in files and _inside(place))
        files |= _texts(index, folder, work, image)
        commit(folder, work, files, gone)
    log.info("exported a training case with %d organs", len(plan.chosen))
    how = case.source.resampled
    return ExportReport(
        name=name,
        folder=folder,
        image=folder / image,
        label=folder / (f"masksTr/{name}" if index.overlaps == MASKS else f"labelsTr/{name}{FILE_ENDING}"),
        labels={label: index.labels[label] for label in plan.chosen},
        lost_voxels=lost,
        left_out=plan.left_out,
        replaced=replaced,
        resampled="" if how is None else how.text,
        unknown=plan.unknown,
        ignored=ignored,
        face="" if face is None else face.text,
        warnings=warnings_of(case.source.header),
    )


def _write_masks(plan: _Plan, case: Case, work: Path) -> dict[str, Path]:
    """One file for each structure, named after its label. Raises UserError."""
    places = _mask_places(plan.index, plan.name)
    out = {}
    for n, (label, s) in enumerate(plan.chosen.items()):
        path = work / f"mask{n}{FILE_ENDING}"
        write_image(s.mask.dense(case.volume.grid.shape).astype(np.uint8), case.volume.grid, path)
        out[places[label]] = path
    return out


def _mask_places(index: DatasetIndex, case: str) -> dict[str, str]:
    """Where each label's mask of a case lies."""
    stems = zip(index.organs, file_names(index.organs), strict=True)
    return {label: f"masksTr/{case}/{stem}{FILE_ENDING}" for label, stem in stems}


def _texts(index: DatasetIndex, folder: Path, work: Path, image: str) -> dict[str, Path]:
    """The dataset's text files with the new case, beside. Raises OSError."""
    cases = {*case_names(folder), Path(image).name.removesuffix(f"_0000{FILE_ENDING}")}
    masks = {
        case: [place for place in _mask_places(index, case).values() if place in entry.get("files", {})]
        for case, entry in index.cases.items()
    }
    content = {
        CONTOURED_FILE: index.contoured_json(),
        DATASET_FILE: index.dataset_json(len(cases)),
        MANIFEST_FILE: manifest_json(index),
        SPLITS_FILE: splits_json(index),
        DATALIST_FILE: datalist_json(index, masks),
    }
    for name, data in content.items():
        (work / name).write_bytes(data)
    return {name: work / name for name in content}


def _inside(place: str) -> bool:
    """Whether a place that a manifest names is one of ours."""
    return re.fullmatch(r"(imagesTr|labelsTr|masksTr/[\w-]+)/[\w+.-]+", place) is not None and ".." not in place


def _choose(
    case: Case, structures: Sequence[Structure], only_accepted: bool, index: DatasetIndex
) -> tuple[list[Structure], dict[str, str]]:
    chosen, left_out = [], {}
    wanted = []
    for s in structures:
        if s.decision.state == "rejected":
            left_out[s.name] = "it was rejected"
        elif only_accepted and not s.decision.accepted:
            left_out[s.name] = "nobody accepted it"
        elif s.mask.is_empty:
            left_out[s.name] = "it is empty"
        else:
            wanted.append(s)
    wrong = _wrong_sides(case, wanted, index)
    for s in wanted:
        if s.id in wrong:
            left_out[s.name] = wrong[s.id]
        else:
            chosen.append(s)
    if not chosen:
        reasons = "; ".join(dict.fromkeys(wrong.values()))
        more = f" ({reasons})" if reasons else ""
        raise UserError(f"There is no structure to train on in this case{more}.", "Accept structures first.")
    return chosen, left_out


def _wrong_sides(case: Case, structures: Sequence[Structure], index: DatasetIndex) -> dict[str, str]:
    """Structures that lie on the other side of the body than their label says, by id, and the reason."""
    as_meant = [replace(s, name=index.names.get(s.name, s.name)) for s in structures]
    if len({s.name for s in as_meant}) != len(as_meant):
        return {}  # two that mean one organ are refused for that
    findings = check_sides(StructureSet(case.volume.grid, tuple(as_meant)), case.volume)
    return {f.structure_id: f.text.rstrip(".") for f in findings}


def _by_label(structures: Sequence[Structure], index: DatasetIndex) -> dict[str, Structure]:
    out: dict[str, Structure] = {}
    for s in structures:
        label = index.label_of(s.name)
        if label is None:
            raise ValueError(f"no label for {s.name}")
        if label in out:
            raise UserError(f'"{out[label].name}" and "{s.name}" both mean {label}.', "Reject or rename one of them.")
        out[label] = s
    return out


def _checked(name: str) -> str:
    """A case name that nnU-Net and every file system take. Raises UserError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or len(name) > MAX_NAME or name.endswith("_0000"):
        raise UserError(
            f'"{name}" can\'t be the name of a training case.', "Use letters, digits, _ and - only, and no _0000."
        )
    return name
