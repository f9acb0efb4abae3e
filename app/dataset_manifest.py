"""What a training dataset tells of its cases: where each came from, who reviewed what, and who is held out when.

Nothing here names a patient or a reviewer, and there are no dates: persons are codes, and the same export gives the
same bytes again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contourdesk.app.dataset_index import FILE_ENDING, IGNORE, MASKS, DatasetIndex
from contourdesk.app.deidentify import reviewer_code
from contourdesk.app.figures import figures
from contourdesk.app.geometry import Grid
from contourdesk.app.history import first_mask
from contourdesk.app.identifiers import Identifiers
from contourdesk.app.naming import suggest
from contourdesk.app.review_format import software
from contourdesk.app.structures import Structure

SCHEMA = 1
FOLDS = 5
SPLITS_FILE, DATALIST_FILE = "splits_final.json", "datalist.json"


def manifest_json(index: DatasetIndex) -> bytes:
    """Content of ``manifest.json``; what is unknown in a case grows with the dataset's labels."""
    known = {case: entry["contoured"] for case, entry in index.contoured.items()}
    cases = {
        case: {**entry, "unknown": [label for label in index.organs if label not in known.get(case, ())]}
        for case, entry in sorted(index.cases.items())
    }
    content = {
        "schema": SCHEMA,
        "overlaps": index.overlaps,
        "parents": index.parents,
        "names": index.names,
        "cases": cases,
    }
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def structure_entry(s: Structure, grid: Grid, identifiers: Identifiers, lost: int = 0) -> dict[str, Any]:
    """What is told of one structure: decision, persons' codes, model, and how its proposal was changed.

    Raises
    ------
    UserError : the key for the codes can't be read.
    """
    made = s.provenance
    out: dict[str, Any] = {
        "decision": s.decision.state,
        "reviewer": reviewer_code(s.decision.person),
        "source": made.source,
        "edited": s.edited,
        "volume_ml": round(s.volume_ml(grid), 3),
    }
    if made.model or made.weights_sha256:
        # A model's name is free text; a folder may be called after a person.
        out["model"] = "" if identifiers.found_in(made.model) else made.model
        out["weights_sha256"] = made.weights_sha256
    if made.software and not identifiers.found_in(made.software):
        out["made_by"] = made.software
    if lost:
        out["lost_voxels"] = lost
    first = first_mask(s)
    if first is not None:
        out["change"] = {"unchanged": True} if first.equals(s.mask) else _change(s, grid)
    return out


def _change(s: Structure, grid: Grid) -> dict[str, Any]:
    first = first_mask(s)
    assert first is not None  # asked by the caller
    found = asdict(figures(first, s.mask, grid))
    return {k: (round(v, 4) if math.isfinite(v) else None) if isinstance(v, float) else v for k, v in found.items()}


def case_entry(
    patient: str,
    files: Mapping[str, Path],
    structures: Mapping[str, dict[str, Any]],
    left_out: Mapping[str, str],
    identifiers: Identifiers,
) -> dict[str, Any]:
    """What is told of one case.

    Parameters
    ----------
    patient : the patient's code.
    files : place in the dataset to where the file lies now.
    structures : by label.
    left_out : structure name and why; names that tell who somebody is are left out.
    """
    return {
        "patient": patient,
        "fold": fold_of(patient),
        "software": software(),
        "files": {place: hashlib.sha256(path.read_bytes()).hexdigest() for place, path in sorted(files.items())},
        "structures": dict(structures),
        "left_out": {
            name: why for name, why in left_out.items() if suggest(name) is not None or not identifiers.found_in(name)
        },
    }


def fold_of(patient: str) -> int:
    """In which fold a patient is held out: the same for good, whoever else is in the dataset."""
    return int.from_bytes(hashlib.sha256(f"fold {patient}".encode()).digest()[:4], "big") % FOLDS


def splits_json(index: DatasetIndex) -> bytes:
    """Content of nnU-Net's ``splits_final.json``: all cases of a patient are on one side.

    A fold that holds nobody out yet takes the next one's cases, and with a single fold the first patient is held out,
    so that nnU-Net can train on small datasets; that ends by itself as patients come.
    """
    patients: dict[str, list[str]] = {}
    for case, entry in index.contoured.items():
        if entry.get("split", "Tr") == "Tr":
            patients.setdefault(str(index.cases.get(case, {}).get("patient", case)), []).append(case)
    folds: list[list[str]] = [[] for _ in range(FOLDS)]
    for patient in sorted(patients):
        folds[fold_of(patient)] += patients[patient]
    used = [fold for fold in folds if fold]
    if len(used) == 1:
        used = folds = [sorted(patients[min(patients)])] * FOLDS
    everything = sorted(case for cases in patients.values() for case in cases)
    out = []
    for n in range(FOLDS):
        held = next(folds[(n + step) % FOLDS] for step in range(FOLDS) if folds[(n + step) % FOLDS]) if used else []
        out.append({"train": [c for c in everything if c not in held] or everything, "val": sorted(held)})
    return json.dumps(out, indent=1).encode()


def datalist_json(index: DatasetIndex, masks: Mapping[str, Sequence[str]]) -> bytes:
    """Content of MONAI's datalist (``load_decathlon_datalist``, Auto3DSeg): files, fold and what is known of each case.

    Parameters
    ----------
    masks : of a dataset with one mask for each structure, case to its labels' files.
    """
    training = []
    for case, entry in index.contoured.items():
        if entry.get("split", "Tr") != "Tr":
            continue
        label: Any = f"labelsTr/{case}{FILE_ENDING}"
        if index.overlaps == MASKS:
            label = list(masks.get(case, ()))
        told = index.cases.get(case, {})
        fold = told.get("fold", fold_of(str(told.get("patient", case))))
        known = entry["contoured"]
        training.append(
            {"image": f"imagesTr/{case}_0000{FILE_ENDING}", "label": label, "fold": fold, "contoured": known}
        )
    content = {
        "name": index.folder.name,
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", **{str(v): k for k, v in index.labels.items() if k != IGNORE}},
        "numTraining": len(training),
        "training": training,
    }
    return json.dumps(content, indent=1, ensure_ascii=False).encode()
