"""``contourdesk export`` of one review or many, of which a bad one doesn't stop the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from contourdesk.app.audit_command import note_export
from contourdesk.app.case import Case
from contourdesk.app.console import GOOD, guarded, note, run_job, say
from contourdesk.app.errors import UserError
from contourdesk.app.export_command import DATASET_NAME, chosen_structures, export_opened, open_review
from contourdesk.app.identifiers import Identifiers
from contourdesk.app.naming import suggest
from contourdesk.app.reviewed import series_of
from contourdesk.app.structures import ACCEPTED, Structure

if TYPE_CHECKING:
    from contourdesk.app.dicom_write import RtStructOptions

REVIEW_FILE = "case.json"
COPIES = "deidentified"
TRAINING, COPY = "nnunet", "dicom-deidentified"


@dataclass(frozen=True)
class TrainingOptions:
    """How training data are made, see `contourdesk.app.dataset.export_case`; `names` from names to labels."""

    overlaps: str | None = None
    ignore: bool = False
    deface: bool = False
    names: dict[str, str] = field(default_factory=dict)


def export_reviews(
    paths: Sequence[Path],
    out: Path,
    formats: Sequence[str],
    everything: bool = False,
    options: RtStructOptions | None = None,
    training: TrainingOptions | None = None,
) -> int:
    """Write reviews, or all reviews in folders, and return the exit code: that of the worst.

    Of several reviews, clinical formats get a folder each in `out`; training cases go into one dataset, which is `out`
    itself when that is one or is called ``Dataset<number>_<name>``.

    Raises
    ------
    UserError : no review there, or with a single one what goes wrong with it.
    """
    folders = reviews_in(paths)
    training = training or TrainingOptions()
    labels = _labels(folders, everything, training) if training.ignore or training.overlaps == "regions" else []
    many = len(folders) > 1
    export = partial(_export_one, out=out, formats=formats, everything=everything, options=options)
    codes = []
    for folder in folders:
        job = partial(export, folder, many=many, training=training, labels=labels)
        codes.append(guarded(job, folder.name) if many else job())
    if many:
        say(f"{codes.count(GOOD)} of {len(codes)} reviews were exported.")
    return max(codes)


def reviews_in(paths: Sequence[Path]) -> list[Path]:
    """The review folders among some folders and right in them, each once. Raises UserError."""
    out: dict[Path, None] = {}
    for path in paths:
        if (path / REVIEW_FILE).exists() or not path.is_dir():
            out[path] = None  # what isn't there is told when it is opened
            continue
        inside = sorted(file.parent for file in path.glob(f"*/{REVIEW_FILE}"))
        out.update(dict.fromkeys(inside or [path]))
    return list(out)


def _export_one(
    folder: Path,
    *,
    out: Path,
    formats: Sequence[str],
    everything: bool,
    options: RtStructOptions | None,
    many: bool,
    training: TrainingOptions,
    labels: Sequence[str],
) -> int:
    case, session = open_review(folder)
    chosen = chosen_structures(session, everything)
    others = [f for f in formats if f not in (TRAINING, COPY)]
    if others:
        export_opened(case, session, chosen, out / folder.name if many else out, others, options)
    if TRAINING in formats:
        # All that the reviewer left open goes along, so that it is told what was left out.
        rest = [s for s in session.structures if s not in chosen]
        _dataset(case, [*chosen, *rest], out, everything, training, labels)
    if COPY in formats:
        _copy(case, chosen, out, training)
    note_export(folder, formats)
    return GOOD


def _dataset(
    case: Case,
    structures: Sequence[Structure],
    out: Path,
    everything: bool,
    training: TrainingOptions,
    labels: Sequence[str],
) -> None:
    from contourdesk.app.dataset import export_case

    is_one = re.fullmatch(r"Dataset\d{3}_\w+", out.name) is not None or (out / "dataset.json").exists()
    job = export_case(
        case,
        structures,
        out if is_one else out / DATASET_NAME,
        labels=labels,
        only_accepted=not everything,
        overlaps=training.overlaps,
        ignore=training.ignore,
        deface=training.deface,
        names=training.names,
    )
    report = run_job(job, "Writing the training case")
    for text in report.notes:
        note(text)
    say(f"{report.folder}: {report.name}, {len(report.labels)} structures")


def _copy(case: Case, chosen: Sequence[Structure], out: Path, training: TrainingOptions) -> None:
    from contourdesk.app.deidentify_export import export_deidentified

    drawn = [s for s in chosen if not s.mask.is_empty]
    if case.source.header is None or not drawn:
        raise UserError("A de-identified DICOM copy needs DICOM images and a structure.", "Export it as nnunet.")
    series = run_job(series_of(case), "Finding the images")
    copied = run_job(
        export_deidentified(case, series, drawn, out / COPIES, deface=training.deface), "De-identifying the images"
    )
    for text in copied.notes:
        note(text)
    say(f"{copied.folder}: {copied.images} images, {len(drawn)} structures")


def _labels(folders: Sequence[Path], everything: bool, training: TrainingOptions) -> list[str]:
    """The labels that these reviews need: a dataset with an ignore label can't get more later.

    Names that tell who the patient is are left to be refused with their case.
    """
    out: dict[str, None] = {}
    for folder in folders:
        try:
            read = json.loads((folder / REVIEW_FILE).read_text("utf-8"))
            words = frozenset(w.casefold() for w in re.split(r"[\^=\s,]+", read["case"]["patient_name"]) if len(w) > 2)
            for s in read["structures"]:
                name, state = str(s["header"]["name"]), s["header"]["decision"]["state"]
                if not (state in ACCEPTED or (everything and state == "unreviewed")):
                    continue
                label = training.names.get(name) or suggest(name)
                if label is None and not Identifiers(words).found_in(name):
                    label = name.strip()
                if label:
                    out[label] = None
        except (OSError, ValueError, KeyError, TypeError):
            continue  # told when it is opened
    return list(out)
