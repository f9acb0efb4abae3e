"""Reviews written for the clinic or for training, as jobs: one, or many of which a bad one doesn't stop the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from contourdesk.app.audit_command import record_export
from contourdesk.app.case import Case
from contourdesk.app.console import log_traceback
from contourdesk.app.errors import UserError
from contourdesk.app.export_command import DATASET_NAME, chosen_structures, write_opened
from contourdesk.app.identifiers import Identifiers
from contourdesk.app.jobs import Job, Progress, part
from contourdesk.app.naming import suggest
from contourdesk.app.review import ReviewSession
from contourdesk.app.reviewed import read_review, series_of
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


@dataclass(frozen=True)
class How:
    """What is written.

    Parameters
    ----------
    formats : "rtstruct", "seg", "nrrd", "nifti", `TRAINING`, `COPY`.
    everything : also structures that nobody has decided on.
    rtstruct : how an RTSTRUCT is drawn;  training : how training data are made.
    by : who exports, for the audit trail: "window" or "command line".
    """

    formats: Sequence[str]
    everything: bool = False
    rtstruct: RtStructOptions | None = None
    training: TrainingOptions = field(default_factory=TrainingOptions)
    by: str = "command line"


@dataclass(eq=False)
class Exported:
    """What came of one review: sentences on what was written and on what to know, and why it ended early if it did."""

    review: Path
    written: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: Exception | None = None

    @property
    def problem(self) -> str:
        """Why it failed, in a sentence or two; empty when it did not."""
        if self.error is None or isinstance(self.error, UserError):
            return "" if self.error is None else str(self.error)
        if isinstance(self.error, OSError):
            return f"A file could not be read or written ({self.error.strerror or type(self.error).__name__})."
        if isinstance(self.error, MemoryError):
            return "There was not enough memory."
        return f"A fault in the program ({type(self.error).__name__}); the log file has the details."


@dataclass(frozen=True, eq=False)
class ExportProgress(Progress):
    """How far `export_many` is: `exported` are the reviews that are finished with."""

    exported: tuple[Exported, ...] = ()


def export_review(
    folder: Path, out: Path, how: How, labels: Sequence[str] = (), *, many: bool = False, own: bool = False
) -> Job[Exported]:
    """Write one review. A `UserError` ends up in what is returned, with what was written before it.

    Parameters
    ----------
    out : clinical formats lie right in it, or with `many` in a folder named after the review; see `dataset_folder`.
    labels : see `labels_of`.
    own : the review is open in this program, which notes the export itself.
    """
    done = Exported(folder)
    try:
        case, session, notes = yield from read_review(folder)
        done.notes += notes
        chosen = chosen_structures(session, how.everything)
        others = [f for f in how.formats if f not in (TRAINING, COPY)]
        if others:
            place = out / folder.name if many else out
            yield from write_opened(case, session, chosen, place, others, done.written, done.notes, how.rtstruct)
        if TRAINING in how.formats:
            yield from _training_case(case, session, chosen, out, how, labels, done)
        if COPY in how.formats:
            yield from _copy(case, chosen, out, how.training, done)
        if not own and (problem := record_export(folder, how.formats, how.by)):
            done.notes.append(problem)
    except UserError as error:
        done.error = error
    return done


def export_many(folders: Sequence[Path], out: Path, how: How, own: Collection[Path] = ()) -> Job[list[Exported]]:
    """Write several reviews, one after the other, and return what came of each; its steps are `ExportProgress`.

    `own` are those that are open in this program, see `export_review`. When the job is closed, the review that it is
    at leaves nothing half done.
    """
    labels, done = labels_of(folders, how), list[Exported]()
    for number, folder in enumerate(folders):
        job = export_review(folder, out, how, labels, many=len(folders) > 1, own=folder in own)
        counted = part(job, number, len(folders), f"{number + 1} of {len(folders)}")
        try:
            while True:
                step = next(counted)
                yield ExportProgress(step.done, step.total, step.text, exported=tuple(done))
        except StopIteration as end:
            done.append(end.value)
        except Exception as error:  # noqa: BLE001 - one review must not end the others; the log has the traceback
            log_traceback()
            done.append(Exported(folder, error=error))
        finally:
            counted.close()
    return done


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


def read_meanings(path: Path) -> dict[str, str]:
    """Which names in reviews mean which labels: a JSON object. Raises UserError."""
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read as JSON.", "Choose another file with names.") from error
    if not isinstance(read, dict) or not all(isinstance(v, str) and v.strip() for v in read.values()):
        raise UserError(f"{path} is not an object of names and labels.", 'Write {"name in the review": "label"}.')
    return {str(k): v.strip() for k, v in read.items()}


def dataset_folder(out: Path) -> Path:
    """The dataset of training cases: `out` when it is one or is called ``Dataset<number>_<name>``, else one in it."""
    is_one = re.fullmatch(r"Dataset\d{3}_\w+", out.name) is not None or (out / "dataset.json").exists()
    return out if is_one else out / DATASET_NAME


def labels_of(folders: Sequence[Path], how: How) -> list[str]:
    """The labels that these reviews need, where a dataset can't get more later (with an ignore label, or regions).

    Names that tell who the patient is are left to be refused with their case.
    """
    if not (how.training.ignore or how.training.overlaps == "regions"):
        return []
    out: dict[str, None] = {}
    for folder in folders:
        try:
            read = json.loads((folder / REVIEW_FILE).read_text("utf-8"))
            words = frozenset(w.casefold() for w in re.split(r"[\^=\s,]+", read["case"]["patient_name"]) if len(w) > 2)
            states = [(str(s["header"]["name"]), s["header"]["decision"]["state"]) for s in read["structures"]]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # told when it is opened
        wanted = [name for name, state in states if state in ACCEPTED or (how.everything and state == "unreviewed")]
        out.update(dict.fromkeys(_labels(wanted, words, how.training.names)))
    return list(out)


def _labels(names: Sequence[str], words: frozenset[str], meanings: dict[str, str]) -> Iterator[str]:
    for name in names:
        label = meanings.get(name) or suggest(name)
        if label is None and not Identifiers(words).found_in(name):
            label = name.strip()
        if label:
            yield label


def _training_case(
    case: Case,
    session: ReviewSession,
    chosen: Sequence[Structure],
    out: Path,
    how: How,
    labels: Sequence[str],
    done: Exported,
) -> Job[None]:
    from contourdesk.app.dataset import export_case

    # All that the reviewer left open goes along, so that it is told what was left out.
    rest = [s for s in session.structures if s not in chosen]
    report = yield from export_case(
        case,
        [*chosen, *rest],
        dataset_folder(out),
        labels=labels,
        only_accepted=not how.everything,
        overlaps=how.training.overlaps,
        ignore=how.training.ignore,
        deface=how.training.deface,
        names=how.training.names,
    )
    done.notes += report.notes
    done.written.append(f"{report.folder}: {report.name}, {len(report.labels)} structures")


def _copy(case: Case, chosen: Sequence[Structure], out: Path, training: TrainingOptions, done: Exported) -> Job[None]:
    from contourdesk.app.deidentify_export import export_deidentified

    drawn = [s for s in chosen if not s.mask.is_empty]
    if case.source.header is None or not drawn:
        raise UserError("A de-identified DICOM copy needs DICOM images and a structure.", "Export it as nnunet.")
    series = yield from series_of(case)
    copied = yield from export_deidentified(case, series, drawn, out / COPIES, deface=training.deface)
    done.notes += copied.notes
    done.written.append(f"{copied.folder}: {copied.images} images, {len(drawn)} structures")
