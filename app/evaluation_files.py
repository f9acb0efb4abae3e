"""An evaluation put together, and its figures as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from contourdesk.app.evaluate_work import ModelUse
from contourdesk.app.evaluation import (
    RULE,
    Interval,
    OrganSummary,
    Paired,
    Score,
    Verdict,
    as_json,
    compare_models,
    mean_of_organs,
    summarise,
    verdict,
)


@dataclass(frozen=True)
class Evaluation:
    """Everything that a report says.

    Parameters
    ----------
    source : what the cases are from, in words.
    models : as they were used, A and B;  tolerance_mm : of surface Dice.
    commands : for each case what opens it in the app;  views : for the worst ones the review that this opens.
    failed : case to the sentence that says why it is not among the scores.
    notes : sentences for the user;  warnings : those that put the figures in doubt.
    when, software : of the evaluation.
    promotion : command lines that would make B (or A) the default, and put the present one back.
    """

    source: str
    models: tuple[ModelUse, ...]
    tolerance_mm: float
    scores: tuple[Score, ...]
    commands: Mapping[str, str]
    failed: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    when: str = ""
    software: str = ""
    promotion: tuple[str, ...] = ()
    views: Mapping[str, Path] = field(default_factory=dict)
    summaries: tuple[OrganSummary, ...] = ()
    overall: Mapping[str, Interval] = field(default_factory=dict)
    pairs: tuple[Paired, ...] = ()
    verdict: Verdict | None = None


def put_together(scores: Sequence[Score], **rest: Any) -> Evaluation:
    """Compute what follows from the scores. `rest` goes to `Evaluation`."""
    pairs = compare_models(scores)
    return Evaluation(
        scores=tuple(scores),
        summaries=tuple(summarise(scores)),
        overall={letter: mean_of_organs(scores, letter) for letter in sorted({s.model for s in scores})},
        pairs=tuple(pairs),
        verdict=verdict(scores, pairs),
        **rest,
    )


def scores_csv(scores: Sequence[Score]) -> bytes:
    """One line for each organ of each case and model."""
    buffer = io.StringIO(newline="")
    names = [f.name for f in fields(Score)] + ["volume_ml", "volume_percent"]
    rows = csv.writer(buffer)
    rows.writerow(names)
    for score in scores:
        rows.writerow([_cell(getattr(score, name)) for name in names])
    return buffer.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return round(value, 4) if isinstance(value, float) else value


def report_json(e: Evaluation) -> bytes:
    """All of it, for programs. What is infinite (a distance to nothing) is "inf", what is unknown null."""
    content = {
        "source": e.source,
        "when": e.when,
        "software": e.software,
        "tolerance_mm": e.tolerance_mm,
        "rule": RULE,
        "verdict": None if e.verdict is None else asdict(e.verdict),
        "models": [asdict(m) for m in e.models],
        "warnings": list(e.warnings),
        "notes": list(e.notes),
        "failed": dict(e.failed),
        "overall_dice": {letter: asdict(i) for letter, i in e.overall.items()},
        "organs": [asdict(s) for s in e.summaries],
        "pairs": [asdict(p) for p in e.pairs],
        "scores": [asdict(s) for s in e.scores],
    }
    return json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return as_json(value)
