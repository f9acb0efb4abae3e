"""``contourdesk evaluate``: a model, or two, on held-out reviewed cases; a report, and nothing else is changed."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from contourdesk.app.console import BUG, GOOD, STOPPED, guarded, log_traceback, note, run_job, say
from contourdesk.app.errors import UserError
from contourdesk.app.evaluate_work import CaseResult, EvaluateTask, ModelUse, evaluate_case, read_again, use_model
from contourdesk.app.evaluation import Interval, Score, worst
from contourdesk.app.evaluation_cases import find_cases
from contourdesk.app.evaluation_files import Evaluation, put_together, report_json, scores_csv
from contourdesk.app.evaluation_pictures import picture
from contourdesk.app.evaluation_report import html, scores_of
from contourdesk.app.evaluation_score import by_meaning, organ_name
from contourdesk.app.evaluation_views import save_view
from contourdesk.app.files import write_atomically
from contourdesk.app.jobs import Job, Progress, part
from contourdesk.app.naming import label_key
from contourdesk.app.review_format import software
from contourdesk.app.segment_command import BUNDLED, model_folder
from contourdesk.app.structures import Mask
from contourdesk.app.training_record import training_cases

REPORT, TABLE, DATA, CACHE, VIEWS = "report.html", "scores.csv", "report.json", "predictions", "worst"
TOLERANCE_MM = 3.0


@dataclass(frozen=True)
class Plan:
    """What is to be done: tasks, one for each case; what is known before, and where the report goes."""

    source: str
    tasks: tuple[EvaluateTask, ...]
    out: Path
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[ModelUse, ...]:
        """The models, A and B."""
        return self.tasks[0].models


@dataclass
class Found:
    """What came of the cases so far."""

    results: list[CaseResult] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def evaluate(
    path: Path,
    models: Sequence[str],
    out: Path,
    *,
    split: str | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    device: str = "auto",
    mirroring: bool = True,
) -> int:
    """Evaluate one model or two, write the report into `out`, and return the exit code.

    A case that fails does not stop the others. What was predicted is kept in ``out/predictions``, so that a run that
    was stopped goes on where it was.

    Raises
    ------
    UserError : no such models or cases, nothing known to compare, or `out` can't be written.
    """
    plan = make_plan([path], models, out, split=split, tolerance_mm=tolerance_mm, device=device, mirroring=mirroring)
    found = Found()
    worst_code = GOOD
    for number, task in enumerate(plan.tasks, 1):
        code = guarded(partial(_one, task, found, f"{number}/{len(plan.tasks)} {task.name}"), task.name)
        if code == STOPPED:
            note("What was predicted is kept; the same command goes on.")
            return code
        worst_code = max(worst_code, code) if BUG not in (worst_code, code) else BUG
        if code != GOOD:
            found.failed.setdefault(task.name, "A fault in the program; the log file has the details.")
    finish(plan, found)
    return worst_code


def _one(task: EvaluateTask, found: Found, title: str) -> int:
    try:
        found.results.append(run_job(evaluate_case(task), title))
    except UserError as error:
        found.failed[task.name] = error.message
        raise
    return GOOD


def evaluation(
    paths: Sequence[Path],
    models: Sequence[str],
    out: Path,
    *,
    split: str | None = None,
    device: str = "auto",
    cache: Path | None = None,
) -> Job[Evaluation]:
    """Job: the same for the window. A case that fails does not stop the others; predictions are kept in `cache`.

    Raises
    ------
    UserError : see `evaluate`.
    """
    yield Progress(0, 0, "Reading the models")
    plan = make_plan(paths, models, out, split=split, device=device, cache=cache)
    found = Found()
    count = len(plan.tasks)
    for number, task in enumerate(plan.tasks):
        job = part(evaluate_case(task), number, count + 1, f"{number + 1} of {count}")
        try:
            found.results.append((yield from job))
        except UserError as error:
            found.failed[task.name] = error.message
        except Exception as error:  # noqa: BLE001 - one case must not end the others; the log has the traceback
            log_traceback()
            found.failed[task.name] = f"A fault in the program ({type(error).__name__}); the log file has the details."
    return (yield from part(finishing(plan, found), count, count + 1, "Report"))


def make_plan(
    paths: Sequence[Path],
    models: Sequence[str],
    out: Path,
    *,
    split: str | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    device: str = "auto",
    mirroring: bool = True,
    cache: Path | None = None,
) -> Plan:
    """Find the cases, read the models, and see whether there is anything to compare. Raises UserError.

    `cache` is where predictions are kept, a folder in `out` unless given.
    """
    if not 1 <= len(models) <= 2:
        raise UserError("One model can be evaluated, or two against each other.", "Give --model once or twice.")
    cases, notes = [], []
    for path in paths:
        more, said = find_cases(path, split)
        cases += more
        notes += said
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise UserError("Two of the cases have one name.", "Evaluate their folders one by one.")
    uses = []
    for letter, name in zip("AB", models, strict=False):
        folder = model_folder(name).absolute()
        uses.append(use_model(letter, name or BUNDLED, folder, ModelUse(letter, name, "", "", mirroring=mirroring)))
    if len(uses) == 2 and uses[0].key == uses[1].key:
        notes.append("A and B are the same model.")
    known = {label_key(organ) for case in cases for organ in case.labels}
    for use in uses:
        if known and not known & {label_key(label) for label in use.labels}:
            there = ", ".join(sorted({organ_name(o) for case in cases for o in case.labels}))
            raise UserError(
                f"There is nothing known to compare: {use.name} draws none of the organs that were contoured here "
                f"({there}).",
                "Choose a model for these organs, or other cases.",
            )
        missed = sorted({organ_name(o) for c in cases for o in c.labels} - {organ_name(label) for label in use.labels})
        if missed:
            notes.append(f"Model {use.letter} does not know {', '.join(missed)}; not compared there.")
    warnings = [text for use in uses for text in _leaks(use, names, [case.patient for case in cases])]
    notes += [text for use in uses if (text := _unknown_training(use))]
    source = " and ".join(f"{path.resolve().name}{f', {cases[0].split}' if cases[0].split else ''}" for path in paths)
    kept = out / CACHE if cache is None else cache
    tasks = tuple(EvaluateTask(case, tuple(uses), kept, tolerance_mm, device) for case in cases)
    return Plan(f"{source}: {len(cases)} cases", tasks, out, tuple(notes), tuple(warnings))


def _leaks(use: ModelUse, names: Sequence[str], patients: Sequence[str]) -> Iterable[str]:
    """Cases that the model was trained on, and other images of patients that it was."""
    trained = training_cases(Path(use.path))
    if not trained:
        return
    same = [name for name in names if name in trained]
    if same:
        some = f"{', '.join(same[:5])}{' and others' if len(same) > 5 else ''}"
        yield f"Model {use.letter} was trained on {len(same)} of these cases ({some}): its figures are too good."
    heads = {name.rsplit("_", 1)[0] for name in trained if name.startswith("CD_")}
    others = {p for n, p in zip(names, patients, strict=True) if p in heads and n not in trained}
    if others:
        yield f"Model {use.letter} was trained on other images of {len(others)} of these patients."


def _unknown_training(use: ModelUse) -> str:
    if training_cases(Path(use.path)) is not None:
        return ""
    return f"The folder of model {use.letter} does not say which cases it was trained on, so that could not be checked."


def finish(plan: Plan, found: Found) -> Evaluation:
    """Write report, table and JSON, and say the main figures. Raises UserError when nothing could be compared."""
    evaluation = run_job(finishing(plan, found), "Drawing the worst cases")
    _tell(evaluation, plan.out)
    return evaluation


def finishing(plan: Plan, found: Found) -> Job[Evaluation]:
    """Write report, table and JSON. Raises UserError when nothing could be compared."""
    scores = [s for result in found.results for s in result.scores]
    if not scores:
        reasons = "; ".join(sorted(set(found.failed.values()))) or "no known organ that the model draws"
        raise UserError(f"There is nothing known to compare: {reasons}", "See the messages above.")
    order = {task.name: i for i, task in enumerate(plan.tasks)}
    organs = _order(plan, scores)
    scores.sort(key=lambda s: (organs.index(s.organ), order[s.case], s.model))
    notes = [*plan.notes, *(f"{r.name}: {text}" for r in found.results for text in r.notes)]
    evaluation = put_together(
        scores,
        source=plan.source,
        models=plan.models,
        tolerance_mm=plan.tasks[0].tolerance_mm,
        commands={task.name: f"contourdesk review {quoted(task.held.opens)}" for task in plan.tasks},
        failed=found.failed,
        warnings=plan.warnings,
        notes=tuple(dict.fromkeys(notes)),
        when=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        software=software(),
        promotion=promotion(plan.models[-1]),
    )
    shown, views, said = yield from _pictures(evaluation, found.results, plan)
    commands = {case: f"contourdesk review {quoted(view)}" for case, view in views.items()}
    evaluation = replace(
        evaluation,
        commands={**evaluation.commands, **commands},
        views=views,
        notes=(*evaluation.notes, *said),
    )
    _write(plan.out, evaluation, html(evaluation, shown))
    return evaluation


def _order(plan: Plan, scores: Iterable[Score]) -> list[str]:
    """Organs in the order of the models' labels."""
    labels = [organ_name(label) for use in plan.models for label in use.labels]
    return list(dict.fromkeys([*labels, *(s.organ for s in scores)]))


def _pictures(
    e: Evaluation, results: Sequence[CaseResult], plan: Plan
) -> Job[tuple[list[tuple[Score, list[Score], bytes | None]], dict[str, Path], list[str]]]:
    """Pictures of the worst structures; for their cases reviews that show truth and models; and what went wrong."""
    by = scores_of(e.scores)
    tasks = {task.name: task for task in plan.tasks}
    views: dict[str, Path] = {}
    said: list[str] = []
    images = {r.name: r.image for r in results}
    chosen = worst(e.scores)
    drawn: dict[tuple[str, str], bytes | None] = {}
    cases = list(dict.fromkeys(s.case for s in chosen))
    for number, case in enumerate(cases):
        truth, found = yield from part(read_again(tasks[case], images[case]), number, len(cases), f"Drawing {case}")
        try:
            save = save_view(plan.out / VIEWS / case, truth, found, plan.models)
            views[case] = yield from part(save, number, len(cases), f"Drawing {case}")
        except UserError as error:
            said.append(f"{case}: {error}")
        for s in chosen:
            if s.case == case:
                masks = {"truth": truth.masks, **found}
                mine = {name: by_meaning(m.items()).get(label_key(s.organ), Mask()) for name, m in masks.items()}
                drawn[case, s.organ] = picture(truth.case.volume, mine, s.slice_index)
    return [(s, by[s.case, s.organ], drawn[s.case, s.organ]) for s in chosen], views, said


def _write(out: Path, e: Evaluation, page: str) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / TABLE, scores_csv(e.scores))
        write_atomically(out / DATA, report_json(e))
        write_atomically(out / REPORT, page.encode())
    except OSError as error:
        raise UserError(
            f"The report could not be written in {out} ({error.strerror}).", "Check its space and permissions."
        ) from error


def promotion(use: ModelUse) -> tuple[str, ...]:
    """Command lines by which a person makes a model the default of a body site, and puts the present one back."""
    from contourdesk.inference.model_library import BUNDLED_SITES, defaults, known_models

    folder = Path(use.path).resolve()
    name = next((m.name for m in known_models() if Path(m.folder).resolve() == folder), None)
    present = defaults()
    site = next((s for s, one in present.items() if one == name), None) or next(iter(BUNDLED_SITES.values()))
    lines = []
    if name is not None and present.get(site) == name:
        return (f"{name} is the default for {site} already.",)
    if name is None:
        name = f"{re.sub(r'[^A-Za-z0-9_-]+', '_', folder.stem)}-new"
        lines.append(f"contourdesk model add {quoted(Path(use.path))} --name {name}")
    lines.append(f'contourdesk model default "{site}" {name}')
    if site in present:
        lines += [f"{present[site]} stays in the list of models. To put it back:"]
        lines.append(f'contourdesk model default "{site}" {present[site]}')
    return tuple(lines)


def quoted(path: Path) -> str:
    """A path as it can stand on a command line."""
    return shlex.quote(str(path.absolute()))


def _tell(e: Evaluation, out: Path) -> None:
    for s in e.summaries:
        dice, hd = s.figures["dice"], s.figures["hd95_mm"]
        say(
            f"{s.organ} {s.model}: Dice {_text(dice)}, surface Dice {s.figures['surface_dice'].value:.3f}, "
            f"HD95 {hd.value:.1f} mm, {s.cases} cases, {s.missing} missed, {s.swapped} on the wrong side"
        )
    for letter, overall in e.overall.items():
        say(f"mean of organs {letter}: Dice {_text(overall)}")
    for text in (*e.warnings, *e.notes):
        note(text)
    if e.verdict is not None:
        say(" ".join((e.verdict.headline, *e.verdict.lines)))
    if e.failed:
        note(f"{len(e.failed)} cases could not be evaluated; the report says why.")
    say(f"The report is {out / REPORT}.")


def _text(i: Interval) -> str:
    return f"{i.value:.3f}" + ("" if math.isnan(i.low) else f" ({i.low:.3f} to {i.high:.3f})")
