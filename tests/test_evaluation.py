"""Statistics of an evaluation against SciPy, published numbers and phantoms whose figures are known."""

import math

import numpy as np
import pytest
from scipy import stats

from contourdesk.app import evaluation as ev
from contourdesk.app.evaluation import Score, compare_models, holm, interval, of_patients, signed_rank, verdict
from contourdesk.app.evaluation_score import score_case, widest_difference
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask


def score(case: str, organ: str, model: str, dice: float, *, patient: str = "", **more) -> Score:
    values = {"surface_dice": dice, "hd95_mm": 5.0, "mean_mm": 1.0, "truth_ml": 20.0, "found_ml": 22.0}
    return Score(case, patient or case, organ, model, dice, **(values | more))


def two_models(gains: dict[str, list[float]]) -> list[Score]:
    """Case i of each organ: A at 0.7, B by the gain better."""
    out = []
    for organ, values in gains.items():
        for i, gain in enumerate(values):
            out += [score(f"c{i}", organ, "A", 0.7), score(f"c{i}", organ, "B", 0.7 + gain)]
    return out


def test_interval_of_a_mean_is_scipys_bootstrap():
    values = np.random.default_rng(1).beta(8, 3, 30)
    found = interval(values)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", vectorized=True)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.004)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.004)
    assert interval(values) == found  # the same report each time


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(80):
        found = interval(rng.normal(0.7, 0.1, 25))
        hits += found.low <= 0.7 <= found.high
    assert 0.86 <= hits / 80 <= 0.99


def test_median_ranks_what_was_missed_as_infinite():
    values = np.array([1.0, 2.0, 3.0, math.inf, math.inf])
    found = interval(values, "median")
    assert (found.value, found.patients) == (3.0, 5)
    assert found.high == math.inf and found.low >= 1.0
    assert interval(np.array([1.0, 2.0, 3.0, 9.0]), "median").value == 2.5


def test_few_patients_get_no_interval():
    found = interval(np.array([0.5, 0.7]))
    assert found.value == pytest.approx(0.6)
    assert math.isnan(found.low) and math.isnan(found.high)
    assert interval(np.array([])).patients == 0


def test_cases_of_one_patient_are_no_observations_of_their_own():
    values = of_patients([0.2, 0.4, 0.9], ["p", "p", "q"])
    np.testing.assert_allclose(values, [0.3, 0.9])
    alone = [score(f"c{i}", "Larynx", "A", 0.5 + 0.04 * i) for i in range(10)]
    repeated = [score(f"{s.case}-{n}", "Larynx", "A", s.dice, patient=s.patient) for s in alone for n in range(5)]
    one, five = ev.summarise(alone)[0].figures["dice"], ev.summarise(repeated)[0].figures["dice"]
    np.testing.assert_allclose([five.value, five.low, five.high], [one.value, one.low, one.high])
    assert five.patients == 10 and ev.summarise(repeated)[0].cases == 50


def test_signed_rank_is_scipys_and_the_textbooks():
    # Six differences of one sign: two of the 64 sign patterns are as extreme.
    assert signed_rank(np.array([1.0, 2, 3, 4, 5, 6])) == pytest.approx(2 / 64)
    assert signed_rank(np.zeros(9)) == 1.0
    values = np.random.default_rng(3).normal(0.1, 1, 40)
    assert signed_rank(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)
    tied = np.array([0.1, 0.1, -0.1, 0.2, 0.2, 0.0, 0.3, 0.3])
    assert 0 < signed_rank(tied) < 1


def test_holms_own_example():
    # Multiplied by 4, 3, 2, 1 in the order of size, never falling.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, math.nan, 0.9]), [1.0, math.nan, 1.0])


def test_verdict_better():
    gains = list(0.03 + 0.001 * np.arange(20))
    found = verdict(two_models({"Brainstem": gains, "Larynx": gains}))
    assert found is not None
    assert found.kind == "better" and "Model B is better (+0.0" in found.headline
    assert "Brainstem (+0.0" in found.lines[0]


def test_verdict_names_where_it_is_worse():
    up, down = list(0.1 + 0.001 * np.arange(20)), list(-0.05 - 0.001 * np.arange(20))
    scores = two_models({"Brainstem": up, "Larynx": down})
    found = verdict(scores)
    assert found is not None
    assert found.kind == "better, but"
    assert found.lines[0].startswith("It is worse at Larynx (-0.0")
    assert {p.organ: p.finding for p in compare_models(scores)} == {
        "Brainstem": "better", "Larynx": "worse", ev.ALL: "better",
    }  # fmt: skip


def test_verdict_on_chance_and_on_few():
    noise = list(np.random.default_rng(5).normal(0, 0.05, 30))
    found = verdict(two_models({"Brainstem": noise}))
    assert found is not None and found.kind == "not shown"
    found = verdict(two_models({"Brainstem": [0.2] * 5}))
    assert found is not None and found.kind == "too few"
    assert verdict([score("c", "Larynx", "A", 0.5)]) is None


def test_the_same_model_twice_is_no_better():
    found = verdict(two_models({"Brainstem": [0.0] * 20, "Larynx": [0.0] * 20}))
    assert found is not None
    assert found.kind == "not shown" and not any("not excluded" in line for line in found.lines)


def test_verdict_does_not_pass_over_a_missing_structure():
    scores = two_models({"Brainstem": list(0.05 + 0.001 * np.arange(20))})
    scores[-1] = score("c19", "Brainstem", "B", 0.0, hd95_mm=math.inf, mean_mm=math.inf, found_ml=0.0, missing=True)
    found = verdict(scores)
    assert found is not None and found.kind != "better"
    assert any("misses 1 structure, model A 0" in line for line in found.lines)


def test_worst_are_the_lowest_and_the_most_lost():
    scores = two_models({"Brainstem": [-0.3, 0.1, 0.1], "Larynx": [0.0, -0.6, 0.1]})
    assert [(s.case, s.organ) for s in ev.worst(scores, 1, 2)] == [("c1", "Larynx"), ("c0", "Brainstem")]


# -- scores of one case on an anisotropic phantom -------------------------------------------------------------------

GRID = Grid.from_spacing((20, 40, 40), (3.0, 1.0, 2.0))


def box(z: int, y: int, x: int, size: tuple[int, int, int] = (6, 8, 8)) -> Mask:
    return Mask((z, y, x), np.ones(size, bool))


def test_scores_of_a_moved_box():
    true, moved = box(4, 10, 4), box(4, 10, 6)  # two columns of 2 mm
    (found,) = score_case("c", "p", {"Larynx": true}, {"A": {"larynx": moved}}, GRID, 2.0)
    assert found.dice == pytest.approx(2 * 6 / 16)
    assert found.truth_ml == pytest.approx(6 * 8 * 8 * 6 / 1000) and found.volume_ml == 0
    assert found.hd95_mm == pytest.approx(4.0, abs=0.5)
    assert not found.missing and not found.swapped


def test_known_organs_only_and_missing_ones_count():
    truth = {"Brainstem": box(4, 4, 4), "SpinalCord": Mask(), "Larynx": box(9, 9, 9)}
    found = score_case("c", "p", truth, {"A": {"Brainstem": Mask(), "Mandible": box(0, 0, 0)}}, GRID, 2.0)
    assert [(s.organ, s.dice, s.missing) for s in found] == [("Brainstem", 0.0, True)]
    assert found[0].hd95_mm == math.inf


def test_sides_that_trade_places_are_seen():
    right, left = box(4, 10, 4), box(4, 10, 26)
    truth = {"RightParotid": right, "LeftParotid": left}
    swapped = score_case("c", "p", truth, {"A": {"Parotid_R": left, "Parotid_L": right}}, GRID, 2.0)
    assert [(s.organ, s.swapped) for s in swapped] == [("Parotid_R", True), ("Parotid_L", True)]
    right_way = score_case("c", "p", truth, {"A": {"Parotid_R": right, "Parotid_L": left}}, GRID, 2.0)
    assert not any(s.swapped for s in right_way)


def test_slice_with_the_widest_difference():
    other = box(4, 10, 4).write((7, 20, 20), np.ones((1, 5, 5), bool))
    assert widest_difference(box(4, 10, 4), other) == 7
    assert widest_difference(box(4, 10, 4), box(4, 10, 4)) == 7
    assert widest_difference(Mask(), Mask()) == 0
