"""The review report: all that it tells, and its table as CSV. Pages are drawn by `contourdesk.widgets.report_pdf`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contourdesk.app.checks import Finding, check
from contourdesk.app.figures import Figures, figures, seconds_of
from contourdesk.app.files import proved
from contourdesk.app.history import first_mask
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.pictures import Picture, picture
from contourdesk.app.readings import Difference, agreement, differences, reader_of
from contourdesk.app.review import Snapshot, now
from contourdesk.app.review_format import software
from contourdesk.app.structures import Structure

# The columns of the CSV, in this order. New ones are added at the end only.
COLUMNS = (
    "patient_id", "study_date", "series_uid", "structure", "structure_id", "type", "source", "model",
    "weights_sha256", "made_with", "decision", "decided_by", "decided_at", "comment", "volume_ml", "proposal_ml",
    "volume_change_ml", "volume_change_percent", "dice", "surface_dice", "tolerance_mm", "hd95_mm", "added_path_mm",
    "path_mm", "slices_touched", "slices", "seconds", "blind", "errors", "warnings", "notes", "findings",
    "former_reader", "former_decision", "former_dice", "former_surface_dice", "former_hd95_mm",
    "former_added_path_mm", "report_created", "report_software",
)  # fmt: skip
SOURCES = {"model": "proposed by a model", "imported": "imported", "reviewer": "drawn by a reviewer"}


@dataclass(frozen=True, eq=False)
class ReportRow:
    """One structure: itself, its volume, what became of its proposal, the time spent, and what is left to look at.

    `figures` is None where there was no proposal, and while it is hidden.
    """

    structure: Structure
    volume_ml: float
    figures: Figures | None
    seconds: float | None
    findings: tuple[Finding, ...]
    picture: Picture | None

    @property
    def origin(self) -> str:
        """Where it comes from, in a few words."""
        made = self.structure.provenance
        if made.model:
            how = "edited" if self.structure.edited else "as proposed"
            drawn = {"hidden": ", drawn without seeing the proposal", "shown": ", drawn before the proposal was shown"}
            return f"{made.model}, {how}{drawn.get(self.structure.blind, '')}"
        if made.source == "reviewer" and self.structure.first is not None:
            return "imported, edited"
        return SOURCES.get(made.source, made.source)


@dataclass(frozen=True, eq=False)
class Report:
    """All that a report tells. `patient` and `patient_id` are empty when they are to be left out.

    Parameters
    ----------
    facts : name and value of what stands at its head.
    rows : the structures, in the review's order.
    former : what the reader before decided, and where the two differ; None with one reader.
    statement : on their agreement.
    """

    created: str
    software: str
    patient: str
    patient_id: str
    study_date: str
    series_uid: str
    facts: tuple[tuple[str, str], ...]
    rows: tuple[ReportRow, ...]
    former_reader: str = ""
    reader: str = ""
    former: tuple[Difference, ...] | None = None
    statement: str = ""

    @property
    def summary(self) -> str:
        """How many structures were accepted, rejected, left open."""
        states = [row.structure.decision for row in self.rows]
        edited = sum(d.state == "accepted-edited" for d in states)
        accepted = sum(d.accepted for d in states)
        parts = [f"{accepted} accepted" + (f" ({edited} of them with a minor edit)" if edited else "")]
        rejected, still_open = (sum(d.state == state for d in states) for state in ("rejected", "unreviewed"))
        parts += [f"{rejected} rejected"] if rejected else []
        parts += [f"{still_open} not decided"] if still_open else []
        return f"{len(states)} structures: {', '.join(parts)}."


def make_report(snapshot: Snapshot, *, with_patient: bool = True, pictures: bool = True) -> Job[Report]:
    """Gather what a report tells of a review as it is now. Checks and figures are made anew.

    Parameters
    ----------
    with_patient : whether the patient's name and ID stand in it.
    pictures : whether to make a picture of each structure.
    """
    structures, case = snapshot.structures, snapshot.case
    found = yield from check(structures, case.volume)
    seconds = seconds_of(snapshot.work)
    rows = []
    for i, s in enumerate(structures):
        yield Progress(i, len(structures), f"Reporting {s.name}")
        first = None if s.blind == "hidden" else first_mask(s)
        change = None if first is None else figures(first, s.mask, structures.grid)
        ghost = None if change is None or change.unchanged else first
        rows.append(
            ReportRow(
                structure=s,
                volume_ml=s.volume_ml(structures.grid),
                figures=change,
                seconds=seconds.get(s.id),
                findings=tuple(f for f in found if f.structure_id == s.id),
                picture=picture(case.volume, s.mask, ghost) if pictures else None,
            )
        )
    former, person = None, ""
    if snapshot.readings:
        person = snapshot.readings[-1].person
        former = yield from differences(snapshot.readings[-1].structures, structures)
    reader = reader_of(structures, snapshot.reviewer)
    patient = case.patient if with_patient else None
    created, program = now(), software()
    return Report(
        created=created,
        software=program,
        patient="" if patient is None else patient.name.replace("^", " ").strip(),
        patient_id="" if patient is None else patient.id,
        study_date=_date(case.source.date) if with_patient else "",
        series_uid=case.source.series_uid if with_patient else "",
        facts=_facts(snapshot, with_patient, created, program),
        rows=tuple(rows),
        former_reader=person,
        reader=reader,
        former=former,
        statement="" if former is None else agreement(former, person, reader),
    )


def _facts(snapshot: Snapshot, with_patient: bool, created: str, program: str) -> tuple[tuple[str, str], ...]:
    case, source = snapshot.case, snapshot.case.source
    items = list(snapshot.structures)
    decided = sorted(s.decision.time for s in items if s.decision.state != "unreviewed" and s.decision.time)
    models = {(s.provenance.model, s.provenance.weights_sha256): None for s in items if s.provenance.model}
    shape, spacing = case.volume.grid.shape, case.volume.grid.spacing_mm
    size = f"{shape[0]} slices of {shape[2]} x {shape[1]}, {spacing[2]:.4g} x {spacing[1]:.4g} x {spacing[0]:.4g} mm"
    people = dict.fromkeys([*(r.person for r in snapshot.readings), reader_of(snapshot.structures, snapshot.reviewer)])
    facts = [
        ("Patient", case.patient.name.replace("^", " ").strip() if with_patient else "left out"),
        ("Patient ID", case.patient.id if with_patient else "left out"),
        ("Study date", _date(source.date) if with_patient else "left out"),
        ("Images", " ".join(p for p in (source.modality, source.description) if p)),
        ("Size", size),
        ("Series UID", source.series_uid if with_patient else "left out"),
        ("Resampled", "" if source.resampled is None else source.resampled.note),
        ("Model", "; ".join(f"{name}, weights {sha[:12]}" if sha else name for name, sha in models)),
        ("Reviewer" if len(people) < 2 else "Reviewers", ", ".join(p for p in people if p)),
        ("Decided", _span(decided)),
        ("Report", f"{moment(created)}, {program}"),
    ]
    return tuple((name, value) for name, value in facts if value)


def _span(times: Sequence[str]) -> str:
    if not times:
        return ""
    first, last = moment(times[0]), moment(times[-1])
    return first if first == last else f"{first} to {last}"


def moment(time: str) -> str:
    """An ISO time to the minute, as 2026-11-25 14:03."""
    return time[:16].replace("T", " ")


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text


# -- CSV ---------------------------------------------------------------------------------------------------------


def write_csv(report: Report, path: Path) -> Path:
    """Write one line a structure, see `COLUMNS`; UTF-8 with a mark that spreadsheets know it by.

    Raises UserError when it can't be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    former = {d.second.id: d for d in report.former or () if d.second is not None}
    for row in report.rows:
        writer.writerow(_csv_row(report, row, former.get(row.structure.id)))
    with proved(path) as beside:
        beside.write_bytes(text.getvalue().encode("utf-8-sig"))
    return path


def _csv_row(report: Report, row: ReportRow, former: Difference | None) -> Mapping[str, object]:
    s, f = row.structure, row.figures
    made, decision = s.provenance, s.decision
    graves = {"errors": "error", "warnings": "warning", "notes": "info"}
    out: dict[str, object] = {
        "patient_id": _text(report.patient_id),
        "study_date": report.study_date,
        "series_uid": report.series_uid,
        "structure": _text(s.name),
        "structure_id": s.id,
        "type": s.interpreted_type,
        "source": made.source,
        "model": _text(made.model),
        "weights_sha256": made.weights_sha256,
        "made_with": made.software,
        "decision": decision.state,
        "decided_by": _text(decision.person),
        "decided_at": decision.time,
        "comment": _text(decision.comment),
        "volume_ml": _number(row.volume_ml),
        "seconds": _number(row.seconds, 0),
        "blind": s.blind,
        **{column: sum(x.severity == kind for x in row.findings) for column, kind in graves.items()},
        "findings": _text(" | ".join(x.text for x in row.findings)),
        "report_created": report.created,
        "report_software": report.software,
    }
    if f is not None:
        keys = ("dice", "surface_dice", "tolerance_mm", "hd95_mm", "added_path_mm", "path_mm", "volume_change_ml")
        out |= {key: _number(getattr(f, key)) for key in (*keys, "volume_change_percent")}
        out |= {"proposal_ml": _number(f.before_ml), "slices_touched": f.slices_touched, "slices": f.slices}
    if former is not None and former.first is not None:
        out |= {"former_reader": _text(report.former_reader), "former_decision": former.first.decision.state}
        if former.figures is not None:
            compared = ("dice", "surface_dice", "hd95_mm", "added_path_mm")
            out |= {f"former_{key}": _number(getattr(former.figures, key)) for key in compared}
    return out


def _number(value: float | None, decimals: int = 4) -> str:
    """A number with a point, whatever the country; empty when there is none or it is infinite."""
    return "" if value is None or not math.isfinite(value) else f"{round(value, decimals):.{decimals}f}"


def _text(value: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
