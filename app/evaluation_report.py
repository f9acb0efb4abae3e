"""An evaluation as one HTML file that needs nothing else: verdict, figures, pictures, and how it was done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from contourdesk.app.evaluation import LEVEL, RESAMPLES, RULE, Interval, OrganSummary, Paired, Score
from contourdesk.app.evaluation_files import Evaluation
from contourdesk.app.evaluation_pictures import COLOURS, data_uri
from contourdesk.app.evaluation_plots import COLOURS as MODEL_COLOURS
from contourdesk.app.evaluation_plots import dice_plot, difference_plot

_TONES = {"better": "good", "better, but": "mixed", "worse": "bad"}
_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: #1c1c1c;
  background: #fff; max-width: 1000px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .4rem 0; } .quiet { color: #666; } .small { font-size: .87rem; }
.verdict { border-left: 5px solid #888; background: #f6f6f6; padding: .8rem 1.1rem; margin: 1.2rem 0; }
.verdict.good { border-color: #007a5e; background: #eef8f4; }
.verdict.bad { border-color: #c0392b; background: #fdf1ef; }
.verdict.mixed { border-color: #b8860b; background: #fdf8ea; }
.verdict b { font-size: 1.1rem; } .verdict ul, .warning ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.warning { border: 1px solid #b8860b; padding: .6rem 1.1rem; margin: 1rem 0; background: #fffdf5; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .28rem .4rem; border-bottom: 1px solid #e4e4e4; white-space: nowrap;
  vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid #888; white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
td.text, th.text { text-align: left; white-space: normal; }
td small { color: #666; display: block; } tr.all td { font-weight: 600; border-top: 1px solid #888; }
tr.first td { border-bottom: none; padding-bottom: 0; }
.better { color: #007a5e; } .worse { color: #c0392b; }
.scroll { overflow-x: auto; } svg { max-width: 100%; height: auto; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); gap: 1.4rem; }
figure { margin: 0; break-inside: avoid; } figure img { width: 100%; background: #000; display: block; }
figcaption { font-size: .87rem; margin-top: .4rem; }
code { font: .82rem ui-monospace, Consolas, Menlo, monospace; background: #f3f3f3; padding: .1rem .3rem;
  user-select: all; overflow-wrap: anywhere; }
.key span { display: inline-block; width: 1.8em; border-top: 3px solid; margin: 0 .3em .25em .9em; }
.key { background: #444; color: #fff; display: inline-block; padding: .1rem .8rem .1rem 0; font-size: .87rem; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-after: avoid; }
  .pictures { grid-template-columns: repeat(3, 1fr); gap: .8rem; } .verdict, table, svg { break-inside: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""


def html(e: Evaluation, shown: Sequence[tuple[Score, Sequence[Score], bytes | None]]) -> str:
    """The page. `shown` are the worst structures: the score that chose it, those of all models, and a PNG."""
    title = "Is the new model better?" if len(e.models) > 1 else "How good is the model?"
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="quiet">{escape(e.source)} · {escape(e.when)} · {escape(e.software)} · not a medical device</p>',
        _verdict(e),
        _warnings(e),
        _models(e),
    ]
    if e.pairs:
        parts += ["<h2>Difference, B minus A</h2>", difference_plot(e.pairs), _pairs(e.pairs)]
        parts.append('<p class="small quiet">Shaded: losses up to 0.02. Green and red: by the rule below.</p>')
    parts += [
        f"<h2>{'Each model' if len(e.models) > 1 else 'Figures'}</h2>",
        _organs(e),
        dice_plot(e.scores, e.summaries),
    ]
    parts += [_pictures(e, shown), _promotion(e), _left_out(e), _method(e)]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{title}</title>"
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head><body>\n'
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _verdict(e: Evaluation) -> str:
    if e.verdict is not None:
        tone = _TONES.get(e.verdict.kind, "")
        return f'<div class="verdict {tone}"><b>{escape(e.verdict.headline)}</b>{_list(e.verdict.lines)}</div>'
    letter = e.models[0].letter
    mine = [s for s in e.summaries if s.model == letter]
    weakest = min(mine, key=lambda s: s.figures["dice"].value)
    overall = e.overall[letter]
    fact = f"Mean Dice {_number(overall.value)} over all organs, {overall.patients} patients{_ends(overall)}."
    lines = [
        f"Weakest: {weakest.organ}, {_number(weakest.figures['dice'].value)}.",
        f"Structures missed: {sum(s.missing for s in mine)} of {sum(s.cases for s in mine)}; "
        f"on the wrong side: {sum(s.swapped for s in mine)}.",
    ]
    more = "" if len(e.models) == 1 else " The models share no organ that is known here, so they can't be compared."
    return f'<div class="verdict"><b>{escape(fact + more)}</b>{_list(lines)}</div>'


def _warnings(e: Evaluation) -> str:
    return f'<div class="warning"><b>These figures are in doubt.</b>{_list(e.warnings)}</div>' if e.warnings else ""


def _models(e: Evaluation) -> str:
    rows = []
    for m in e.models:
        sha = ", ".join(s[:12] for s in m.weights_sha256)
        how = f"{', '.join(m.folds) if m.folds else 'all folds'}{'' if m.mirroring else ', no mirroring'}"
        cells = (f"<b>{m.letter}</b>", escape(m.name), escape(m.path), escape(how), f"<code>{sha}</code>")
        rows.append("<tr>" + "".join(f'<td class="text">{cell}</td>' for cell in cells) + "</tr>")
    head = "".join(f'<th class="text">{t}</th>' for t in ("", "model", "folder", "used with", "SHA-256 of the weights"))
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _pairs(pairs: Sequence[Paired]) -> str:
    head = ("organ", "patients", "Dice", "surface Dice", "p", "p after Holm", "finding")
    rows = []
    for pair in pairs:
        holm = "" if pair is pairs[-1] else _p(pair.p_holm)
        finding = {"too few": "too few patients"}.get(pair.finding, pair.finding)
        cells = (
            escape(pair.organ),
            str(pair.difference.patients),
            _with_ends(pair.difference, "+.3f"),
            _with_ends(pair.surface, "+.3f"),
            _p(pair.p),
            holm,
            f'<span class="{pair.finding.split()[0]}">{finding}</span>',
        )
        rows.append(_row(cells, "all" if pair is pairs[-1] else ""))
    return _table(head, rows)


def _organs(e: Evaluation) -> str:
    two = len({s.model for s in e.summaries}) > 1
    head = ["organ", *(["model"] if two else []), "cases", "patients", "Dice", f"surface Dice {e.tolerance_mm:g} mm"]
    head += ["HD95 mm", "mean distance mm", "volume error ml", "volume error %", "missed", "wrong side"]
    rows = []
    last = ""
    for s in e.summaries:
        rows.append(_row(_organ_cells(s, two, s.organ != last)))
        last = s.organ
    for letter, overall in e.overall.items():
        first = "mean of organs" if letter == min(e.overall) else ""
        mine = [s for s in e.summaries if s.model == letter]
        sums = [str(sum(s.missing for s in mine)), str(sum(s.swapped for s in mine))]
        cells = [first, *([letter] if two else []), "", str(overall.patients), _with_ends(overall, ".3f")]
        rows.append(_row([*cells, *[""] * 5, *sums], "all"))
    return _table(head, rows)


def _organ_cells(s: OrganSummary, two: bool, first: bool) -> list[str]:
    f = s.figures
    model = f'<b style="color:{MODEL_COLOURS[s.model]}">{s.model}</b>'
    cells = [escape(s.organ) if first else "", *([model] if two else []), str(s.cases), str(f["dice"].patients)]
    cells += [_with_ends(f["dice"], ".3f"), _with_ends(f["surface_dice"], ".3f")]
    cells += [_with_ends(f["hd95_mm"], ".1f"), _with_ends(f["mean_mm"], ".2f")]
    cells += [_with_ends(f["volume_ml"], "+.1f"), _with_ends(f["volume_percent"], "+.0f")]
    return [*cells, str(s.missing), str(s.swapped)]


def _pictures(e: Evaluation, shown: Sequence[tuple[Score, Sequence[Score], bytes | None]]) -> str:
    if not shown:
        return ""
    names = ["truth", *(m.letter for m in e.models)]
    key = "".join(_key_entry(name) for name in names)
    figures = []
    for score, all_models, png in shown:
        image = f'<img src="{data_uri(png)}" alt="{escape(score.case)}, {escape(score.organ)}">' if png else ""
        dice = ", ".join(f"{s.model}: {_number(s.dice)}{' (missed)' if s.missing else ''}" for s in all_models)
        what = f"<b>{escape(score.organ)}</b>, {escape(score.case)}, slice {score.slice_index + 1}. Dice {dice}"
        command = e.commands.get(score.case, "")
        opens = f"<br><code>{escape(command)}</code>" if command else ""
        figures.append(f"<figure>{image}<figcaption>{what}{opens}</figcaption></figure>")
    why = "Lowest Dice of the newest model" + (", and where B lost most" if len(e.models) > 1 else "")
    return (
        f"<h2>Worst cases</h2><p>{why}, in the slice with the largest disagreement. The command opens the case, "
        "with the truth and what each model drew.</p>"
        f'<p class="key">{key}</p><div class="pictures">{"".join(figures)}</div>'
    )


def _key_entry(name: str) -> str:
    style = {"truth": "solid", "A": "dashed", "B": "dotted"}[name]
    red, green, blue = COLOURS[name]
    line = f'<span style="border-top-color: rgb({red},{green},{blue}); border-top-style: {style}"></span>'
    return f"{line}{name if name == 'truth' else f'model {name}'}"


def _promotion(e: Evaluation) -> str:
    if not e.promotion:
        return ""
    lines = "<br>".join(
        f"<code>{escape(line)}</code>" if line.startswith("contourdesk") else escape(line) for line in e.promotion
    )
    why = "Nothing was changed. A model becomes the default only by you:"
    return f"<h2>If you decide to use it</h2><p>{why}</p><p>{lines}</p>"


def _left_out(e: Evaluation) -> str:
    out = ""
    if e.failed:
        out += "<h2>Cases that could not be evaluated</h2>" + _list(f"{c}: {why}" for c, why in e.failed.items())
    if e.notes:
        out += "<h2>Notes</h2>" + _list(e.notes)
    return out


def _method(e: Evaluation) -> str:
    sentences = (
        "Only organs that a person contoured or accepted in a case, and that the model knows, are compared there, on "
        "the image's own grid. A structure that a model did not find counts with Dice 0 and an infinite distance.",
        "Each patient counts once, with the mean of all that patient's cases. Dice, surface Dice and millilitres: mean "
        "over patients. Distances and per cent: median.",
        f"In small print: {LEVEL:.0%} percentile bootstrap intervals over patients, {RESAMPLES} draws with a fixed "
        "seed; none for fewer than five patients.",
        f"Surface Dice is the share of both surfaces within {e.tolerance_mm:g} mm of the other one (Nikolov et al.); "
        "HD95 is the larger of the two directed 95 % distances, weighted by area; mean distance is over both surfaces.",
        "Wrong side: the structure overlaps the other side's true organ more than its own.",
        "The test is Wilcoxon's signed-rank test on the patients' differences in Dice, two-sided, with Holm's "
        "correction over the organs. For all organs together it is done on each patient's mean over organs.",
    )
    rule = f"<p><b>The rule.</b> {escape(RULE)}</p>" if len(e.models) > 1 else ""
    said = "".join(f"<p>{escape(s)}</p>" for s in sentences)
    return f'<h2>How this was measured</h2><div class="small">{rule}{said}</div>'


# -- small things ----------------------------------------------------------------------------------------------------


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _table(head: Iterable[str], rows: Iterable[str]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f'<div class="scroll"><table><tr>{titles}</tr>{"".join(rows)}</table></div>'


def _row(cells: Iterable[str], kind: str = "") -> str:
    return f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _with_ends(i: Interval, how: str) -> str:
    if np.isnan(i.value):
        return "–"
    ends = "" if np.isnan(i.low) else f"<small>{_shown(i.low, how)} to {_shown(i.high, how)}</small>"
    return _shown(i.value, how) + ends


def _ends(i: Interval) -> str:
    return "" if np.isnan(i.low) else f" (95 % interval {_number(i.low)} to {_number(i.high)})"


def _shown(value: float, how: str) -> str:
    return "∞" if np.isinf(value) else format(value, how).replace("-", "−")


def _number(value: float) -> str:
    return _shown(value, ".3f")


def _p(p: float) -> str:
    return "–" if np.isnan(p) else "&lt; 0.001" if p < 0.001 else f"{p:.3f}"


def scores_of(scores: Iterable[Score]) -> Mapping[tuple[str, str], list[Score]]:
    """Scores of all models by case and organ."""
    out: dict[tuple[str, str], list[Score]] = {}
    for s in scores:
        out.setdefault((s.case, s.organ), []).append(s)
    return out
