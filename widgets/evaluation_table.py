"""The figures of an evaluation: each organ's with intervals, the paired test, and the worst cases to open."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from contourdesk.app.evaluation import Interval, Score, worst
from contourdesk.app.evaluation_files import Evaluation
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, ink, named, plain_table

_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_FINDINGS = {"better": "good", "worse": "bad"}


class FiguresTable(QTableWidget):
    """A row for each organ, and one for all of them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, "evaluate_figures", tr("Figures of each organ"))
        _dress(self)

    def show_evaluation(self, e: Evaluation) -> None:
        """Show the figures: of one model all that matter, of two Dice and how they differ."""
        heads, rows = _two(e) if e.pairs else _one(e)
        self.setColumnCount(len(heads))
        self.setHorizontalHeaderLabels(heads)
        self.setRowCount(len(rows))
        for y, cells in enumerate(rows):
            for x, text in enumerate(cells):
                item = QTableWidgetItem(tr(text) if text in _FINDINGS else text)
                if x:
                    item.setTextAlignment(_RIGHT)
                if text in _FINDINGS:
                    item.setForeground(ink(_FINDINGS[text]))
                if y == len(rows) - 1:
                    font = item.font()
                    font.setBold(True)
                    item.setFont(font)
                self.setItem(y, x, item)
        header = self.horizontalHeader()
        for x in range(len(heads)):
            header.setSectionResizeMode(x, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)


class WorstTable(QTableWidget):
    """The structures most worth a look; `wanted` carries the `Score` of the one to open."""

    wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, "evaluate_worst", tr("Worst cases"), tr("Double click opens the case at that slice"))
        _dress(self)
        self._scores: list[Score] = []
        self.cellActivated.connect(lambda row, _: self.wanted.emit(self._scores[row]))

    def show_evaluation(self, e: Evaluation) -> None:
        """Show the worst structures of the newest model, and where it lost most."""
        self._scores = [s for s in worst(e.scores) if s.case in e.views]
        by = {(s.case, s.organ, s.model): s for s in e.scores}
        letters = [m.letter for m in e.models]
        heads = [tr("Case"), tr("Organ"), *(tr("Dice {model}").format(model=m) for m in letters), tr("Slice")]
        self.setColumnCount(len(heads))
        self.setHorizontalHeaderLabels(heads)
        self.setRowCount(len(self._scores))
        for y, s in enumerate(self._scores):
            dice = [by.get((s.case, s.organ, m)) for m in letters]
            texts = [_dice(d) for d in dice]
            for x, text in enumerate((s.case, s.organ, *texts, str(s.slice_index + 1))):
                item = QTableWidgetItem(text)
                if x > 1:
                    item.setTextAlignment(_RIGHT)
                self.setItem(y, x, item)
        header = self.horizontalHeader()
        for x in range(len(heads)):
            header.setSectionResizeMode(x, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        if self._scores:
            self.selectRow(0)

    @property
    def chosen(self) -> Score | None:
        """The selected one."""
        at = self.currentRow()
        return self._scores[at] if 0 <= at < len(self._scores) else None


def _dress(table: QTableWidget) -> None:
    plain_table(table, 1.6)
    table.setMinimumHeight(em(table, 8))


def _one(e: Evaluation) -> tuple[list[str], list[list[str]]]:
    heads = [tr("Organ"), tr("Patients"), tr("Dice"), tr("Surface Dice"), tr("HD95, mm"), tr("Volume error, ml"),
             tr("Missed"), tr("Wrong side")]  # fmt: skip
    rows = []
    for s in e.summaries:
        f = s.figures
        shown = [_with_ends(f[name], how) for name, how in _SHOWN.items()]
        rows.append([s.organ, str(f["dice"].patients), *shown, str(s.missing), str(s.swapped)])
    for letter, overall in e.overall.items():
        mine = [s for s in e.summaries if s.model == letter]
        sums = [str(sum(s.missing for s in mine)), str(sum(s.swapped for s in mine))]
        rows.append([tr("mean of organs"), str(overall.patients), _with_ends(overall, ".3f"), "", "", "", *sums])
    return heads, rows


_SHOWN = {"dice": ".3f", "surface_dice": ".3f", "hd95_mm": ".1f", "volume_ml": "+.1f"}


def _two(e: Evaluation) -> tuple[list[str], list[list[str]]]:
    heads = [tr("Organ"), tr("Patients"), tr("Dice A"), tr("Dice B"), tr("B minus A (95 % interval)"), tr("p, Holm"),
             tr("Missed A, B"), tr("B is")]  # fmt: skip
    by = {(s.organ, s.model): s for s in e.summaries}
    rows = []
    for pair in e.pairs[:-1]:
        a, b = (by[pair.organ, letter] for letter in "AB")
        dice = [f"{s.figures['dice'].value:.3f}" for s in (a, b)]
        difference = _with_ends(pair.difference, "+.3f")
        missed = f"{a.missing}, {b.missing}"
        finding = _finding(pair.finding)
        rows.append([pair.organ, str(pair.difference.patients), *dice, difference, _p(pair.p_holm), missed, finding])
    overall = e.pairs[-1]
    dice = [f"{e.overall[letter].value:.3f}" for letter in "AB"]
    sums = [str(sum(s.missing for s in e.summaries if s.model == letter)) for letter in "AB"]
    rows.append([
        tr("mean of organs"), str(overall.difference.patients), *dice, _with_ends(overall.difference, "+.3f"),
        _p(overall.p), ", ".join(sums), _finding(overall.finding),
    ])  # fmt: skip
    return heads, rows


def _finding(text: str) -> str:
    return text if text in _FINDINGS else tr(text)


def _dice(s: Score | None) -> str:
    if s is None:
        return "–"
    return tr("missed") if s.missing else f"{s.dice:.3f}"


def _with_ends(i: Interval, how: str) -> str:
    if math.isnan(i.value):
        return "–"
    return _number(i.value, how) + ("" if math.isnan(i.low) else f"  ({_number(i.low, how)} to {_number(i.high, how)})")


def _number(value: float, how: str) -> str:
    return "∞" if math.isinf(value) else format(value, how).replace("-", "−")


def _p(p: float) -> str:
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def told(e: Evaluation) -> Sequence[str]:
    """The verdict: a headline, then sentences."""
    if e.verdict is not None:
        return (e.verdict.headline, *e.verdict.lines)
    overall = e.overall[e.models[0].letter]
    return (
        tr("Mean Dice {dice} over all organs, {count} patients.").format(
            dice=_with_ends(overall, ".3f"), count=overall.patients
        ),
    )
