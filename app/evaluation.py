"""How good a model is on held-out cases, and whether another one is better: statistics over patients, no files.

Each patient counts once, with the mean of that patient's cases (for distances the median): two scans of one neck are no
two independent observations. Intervals are percentile bootstrap intervals over patients, with a fixed seed, so that a
report made again is the same report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
ALPHA = 0.05
LOSS = 0.02  # Dice; a loss above it is worth a warning as long as it isn't excluded
RESAMPLES = 5_000
FEWEST_FOR_INTERVAL = 5
FEWEST_FOR_TEST = 6  # with five patients no outcome of the signed-rank test is below 0.05
_SEED = 20261125


@dataclass(frozen=True)
class Score:
    """One organ of one case, drawn by one model and compared with the truth.

    Parameters
    ----------
    patient : stands for the patient, tells nothing about him;  organ : TG-263 name.  model : "A" or "B".
    dice, surface_dice : 0 to 1;  hd95_mm, mean_mm : infinite when the model found nothing.
    truth_ml, found_ml : volumes.
    missing : the model found nothing;  swapped : it lies on the other side's organ more than on its own.
    slice_index : slice (array axis 0) with the largest area of disagreement.
    """

    case: str
    patient: str
    organ: str
    model: str
    dice: float
    surface_dice: float
    hd95_mm: float
    mean_mm: float
    truth_ml: float
    found_ml: float
    missing: bool = False
    swapped: bool = False
    slice_index: int = 0

    @property
    def volume_ml(self) -> float:
        """How much too large the model's volume is, ml; negative if it is too small."""
        return self.found_ml - self.truth_ml

    @property
    def volume_percent(self) -> float:
        """The same in per cent of the true volume."""
        return 100 * self.volume_ml / self.truth_ml


@dataclass(frozen=True)
class Interval:
    """A figure over `patients` patients with its 95 % interval, whose ends are NaN for too few of them."""

    value: float
    low: float
    high: float
    patients: int


# What is told of each organ: the figure of a score, and how it is put together over patients.
FIGURES: Mapping[str, tuple[Callable[[Score], float], str]] = {
    "dice": (lambda s: s.dice, "mean"),
    "surface_dice": (lambda s: s.surface_dice, "mean"),
    "hd95_mm": (lambda s: s.hd95_mm, "median"),
    "mean_mm": (lambda s: s.mean_mm, "median"),
    "volume_ml": (lambda s: s.volume_ml, "mean"),
    "volume_percent": (lambda s: s.volume_percent, "median"),
}


@dataclass(frozen=True)
class OrganSummary:
    """All figures of one model on one organ; `figures` by the names in `FIGURES`."""

    organ: str
    model: str
    cases: int
    figures: Mapping[str, Interval]
    missing: int
    swapped: int


@dataclass(frozen=True)
class Paired:
    """Model B against model A on the cases that both drew.

    Parameters
    ----------
    organ : or `ALL`, the mean over the organs of each patient.
    difference, surface : Dice and surface Dice, B minus A.
    p : of the signed-rank test on Dice;  p_holm : the same after Holm's correction over the organs.
    finding : "better", "worse", "not shown" or "too few".
    """

    organ: str
    difference: Interval
    surface: Interval
    p: float
    p_holm: float
    finding: str

    @property
    def may_lose(self) -> bool:
        """Whether a loss of more than `LOSS` is not excluded."""
        return not self.difference.low >= -LOSS


ALL = "all organs"


def of_patients(values: Iterable[float], patients: Iterable[str], how: str = "mean") -> Floats:
    """One value for each patient: the mean or the median of that patient's values, in the order of their names."""
    by: dict[str, list[float]] = {}
    for patient, value in zip(patients, values, strict=True):
        by.setdefault(patient, []).append(float(value))
    middle = np.mean if how == "mean" else np.median
    return np.array([middle(by[patient]) for patient in sorted(by)], float)


def interval(values: Floats, how: str = "mean") -> Interval:
    """Mean or median over patients with its percentile bootstrap interval. Infinite values are ranked like others."""
    count = values.size
    if count == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    value = _middle(values[None], how)[0]
    if count < FEWEST_FOR_INTERVAL:
        return Interval(float(value), np.nan, np.nan, count)
    rng = np.random.default_rng(_SEED)
    drawn = np.concatenate([_middle(values[rng.integers(0, count, (RESAMPLES // 10, count))], how) for _ in range(10)])
    drawn.sort()
    edge = (1 - LEVEL) / 2 * (drawn.size - 1)
    low, high = drawn[round(edge)], drawn[drawn.size - 1 - round(edge)]  # no mean of two: one may be infinite
    return Interval(float(value), float(low), float(high), count)


def _middle(rows: Floats, how: str) -> Floats:
    if how == "mean":
        return np.asarray(rows.mean(axis=1))
    rows = np.sort(rows, axis=1)
    low, high = rows[:, (rows.shape[1] - 1) // 2], rows[:, rows.shape[1] // 2]
    return np.where(low == high, low, (low + high) / 2)


def signed_rank(differences: Floats) -> float:
    """P of Wilcoxon's signed-rank test, two-sided, exact for few patients without ties; 1 when nothing differs."""
    from scipy import stats  # a second of the program's start

    if not np.any(differences):
        return 1.0
    ranked = np.abs(differences[differences != 0])
    exact = ranked.size == differences.size <= 50 and np.unique(ranked).size == ranked.size
    return float(stats.wilcoxon(differences, method="exact" if exact else "approx").pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's correction (S. Holm, "A simple sequentially rejective multiple test procedure", 1979). NaN stays NaN."""
    order = [i for i in np.argsort(p, kind="stable") if not np.isnan(p[i])]
    out = [float("nan")] * len(p)
    last = 0.0
    for rank, i in enumerate(order):
        last = max(last, min(1.0, (len(order) - rank) * p[i]))
        out[i] = last
    return out


def organs_of(scores: Iterable[Score]) -> list[str]:
    """The organs, in the order of their first score."""
    return list(dict.fromkeys(s.organ for s in scores))


def summarise(scores: Sequence[Score]) -> list[OrganSummary]:
    """Every organ's figures for every model."""
    out = []
    for organ in organs_of(scores):
        for model in sorted({s.model for s in scores}):
            mine = [s for s in scores if s.organ == organ and s.model == model]
            if mine:
                out.append(_summary(organ, model, mine))
    return out


def mean_of_organs(scores: Sequence[Score], model: str) -> Interval:
    """Dice over patients, each with the mean over the organs that are known in that patient."""
    mine = [s for s in scores if s.model == model]
    return interval(_patients_means([(s.patient, s.organ, s.dice) for s in mine]))


def _summary(organ: str, model: str, mine: Sequence[Score]) -> OrganSummary:
    patients = [s.patient for s in mine]
    figures = {
        name: interval(of_patients([figure(s) for s in mine], patients, how), how)
        for name, (figure, how) in FIGURES.items()
    }
    missing, swapped = sum(s.missing for s in mine), sum(s.swapped for s in mine)
    return OrganSummary(organ, model, len(mine), figures, missing, swapped)


def compare_models(scores: Sequence[Score]) -> list[Paired]:
    """B against A for each organ that both know, then for all of them together (`ALL`); empty for one model."""
    pairs = paired_scores(scores)
    rows: list[tuple[str, Floats, Floats]] = []
    for organ in organs_of(a for a, _ in pairs):
        mine = [(a, b) for a, b in pairs if a.organ == organ]
        patients = [a.patient for a, _ in mine]
        dice = of_patients([b.dice - a.dice for a, b in mine], patients)
        rows.append((organ, dice, of_patients([b.surface_dice - a.surface_dice for a, b in mine], patients)))
    if not rows:
        return []
    p = [signed_rank(dice) if dice.size >= FEWEST_FOR_TEST else float("nan") for _, dice, _ in rows]
    out = [_paired(*row, one, corrected) for row, one, corrected in zip(rows, p, holm(p), strict=True)]
    dice = _patients_means([(a.patient, a.organ, b.dice - a.dice) for a, b in pairs])
    surface = _patients_means([(a.patient, a.organ, b.surface_dice - a.surface_dice) for a, b in pairs])
    overall = signed_rank(dice) if dice.size >= FEWEST_FOR_TEST else float("nan")
    return [*out, _paired(ALL, dice, surface, overall, overall)]


def paired_scores(scores: Iterable[Score]) -> list[tuple[Score, Score]]:
    """Scores of A and B on one organ of one case."""
    by: dict[tuple[str, str], dict[str, Score]] = {}
    for s in scores:
        by.setdefault((s.case, s.organ), {})[s.model] = s
    return [(two["A"], two["B"]) for two in by.values() if len(two) == 2]


def _patients_means(values: Iterable[tuple[str, str, float]]) -> Floats:
    """For each patient the mean over organs, of each organ's mean over the patient's cases."""
    by: dict[str, dict[str, list[float]]] = {}
    for patient, organ, value in values:
        by.setdefault(patient, {}).setdefault(organ, []).append(value)
    return np.array([np.mean([np.mean(v) for v in by[patient].values()]) for patient in sorted(by)], float)


def _paired(organ: str, dice: Floats, surface: Floats, p: float, p_holm: float) -> Paired:
    difference = interval(dice)
    finding = "not shown"
    if dice.size < FEWEST_FOR_TEST:
        finding = "too few"
    elif p_holm < ALPHA and difference.low > 0:
        finding = "better"
    elif p_holm < ALPHA and difference.high < 0:
        finding = "worse"
    return Paired(organ, difference, interval(surface), p, p_holm, finding)


# -- the verdict ---------------------------------------------------------------------------------------------------

RULE = (
    f"An organ counts as better (worse) with B when two things hold: the Holm-corrected p of the signed-rank test on "
    f"Dice is below {ALPHA:g}, and the 95 % interval of the mean difference lies above (below) zero. B is called "
    "better when both hold for the mean over all organs of a patient, and no organ is worse, and B misses and swaps "
    "no more structures than A; otherwise what speaks against it is said. With fewer than "
    f"{FEWEST_FOR_TEST} patients nothing is concluded. 'Not shown' does not mean that both are equally good."
)


@dataclass(frozen=True)
class Verdict:
    """The plain answer: `kind` is "better", "better, but", "worse", "not shown" or "too few"; `lines` are sentences."""

    kind: str
    headline: str
    lines: tuple[str, ...]


def verdict(scores: Sequence[Score], pairs: Sequence[Paired] | None = None) -> Verdict | None:
    """Whether B is better than A by `RULE`; None for one model, or when no organ is known to both."""
    pairs = compare_models(scores) if pairs is None else pairs
    if not pairs:
        return None
    *organs, overall = pairs
    both = [s for pair in paired_scores(scores) for s in pair]
    against = [f"It is worse at {_shown(p)}." for p in organs if p.finding == "worse"]
    for what, verb in (("missing", "misses"), ("swapped", "puts on the wrong side")):
        a, b = (sum(getattr(s, what) for s in both if s.model == model) for model in "AB")
        if b > a:
            against.append(f"It {verb} {b} structure{'s' if b != 1 else ''}, model A {a}.")
    better = [p for p in organs if p.finding == "better"]
    lines = list(against)
    if better:
        lines.append(f"It is better at {', '.join(map(_shown, better))}.")
    may_lose = [p.organ for p in organs if p.finding != "worse" and p.finding != "too few" and p.may_lose]
    if may_lose:
        lines.append(f"A loss of more than {LOSS:g} Dice is not excluded at {', '.join(may_lose)}.")
    few = [p.organ for p in organs if p.finding == "too few"]
    if few:
        lines.append(f"Fewer than {FEWEST_FOR_TEST} patients, so no conclusion: {', '.join(few)}.")
    kind, headline = _headline(overall, against)
    return Verdict(kind, headline, tuple(lines))


def _headline(overall: Paired, against: Sequence[str]) -> tuple[str, str]:
    size = f"{_signed(overall.difference)} Dice over all organs, {overall.difference.patients} patients"
    if overall.finding == "too few":
        return "too few", f"Too few patients to tell whether model B is better ({size})."
    if overall.finding == "better":
        if against:
            return "better, but", f"Model B is better on the whole ({size}), but not everywhere."
        return "better", f"Model B is better ({size})."
    if overall.finding == "worse":
        return "worse", f"Model B is worse ({size})."
    return "not shown", f"Model B is not shown to be better ({size})."


def _shown(p: Paired) -> str:
    return f"{p.organ} ({_signed(p.difference)})"


def _signed(i: Interval) -> str:
    ends = "" if np.isnan(i.low) else f", 95 % interval {i.low:+.3f} to {i.high:+.3f}"
    return f"{i.value:+.3f}{ends}"


def worst(scores: Sequence[Score], count: int = 6, losses: int = 3) -> list[Score]:
    """The structures most worth a look: lowest Dice of the newest model, and with two models where B lost most."""
    newest = max((s.model for s in scores), default="A")
    lowest = sorted((s for s in scores if s.model == newest), key=lambda s: (s.dice, s.surface_dice, s.case, s.organ))
    pairs = [(a, b) for a, b in paired_scores(scores) if b.dice < a.dice - LOSS]
    lost = sorted(pairs, key=lambda two: two[1].dice - two[0].dice)[:losses]
    chosen = {(s.case, s.organ): s for s in [*lowest[:count], *(b for _, b in lost)]}
    return list(chosen.values())


def as_json(value: Any) -> Any:
    """Plain JSON of dataclasses' values: what is no finite number becomes a word, so that every reader takes it."""
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
