"""The report of an evaluation: whole, self-contained, escaped; pictures show what lies where."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from evaluation_phantoms import make_dataset
from PIL import Image
from test_evaluation import score, two_models
from tiny_model import make_model

from contourdesk.app.cli import main
from contourdesk.app.evaluate_command import Found, finish, make_plan
from contourdesk.app.evaluate_work import CaseResult, ModelUse
from contourdesk.app.evaluation_files import Evaluation, put_together, report_json, scores_csv
from contourdesk.app.evaluation_pictures import COLOURS, picture
from contourdesk.app.evaluation_report import html
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.reviewed import read_review
from contourdesk.app.reviews import review_at
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

_VOID = {"meta", "br", "img"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))


class Balanced(HTMLParser):
    """Complains about tags that are not closed, or closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def example(**more) -> Evaluation:
    rng = np.random.default_rng(0)
    scores = two_models({"Brainstem": list(rng.normal(0.2, 0.01, 12)), "Larynx": list(rng.normal(-0.1, 0.01, 12))})
    scores.append(score("c0", "Mandible<b>", "B", 0.0, hd95_mm=np.inf, mean_mm=np.inf, found_ml=0.0, missing=True))
    models = tuple(ModelUse(x, f"model & {x}", f"/models/{x}", "k" * 64, weights_sha256=("ab" * 32,)) for x in "AB")
    values = {
        "source": "test <data>",
        "models": models,
        "tolerance_mm": 3.0,
        "commands": {"c0": "contourdesk review x"},
    }
    return put_together(scores, **(values | more))


def test_page_is_whole_and_needs_nothing_else():
    e = example(
        failed={"c99": "It can't be read."}, warnings=("Trained on it.",), promotion=("contourdesk model default x y",)
    )
    shown = [(s, [s], b"png") for s in e.scores[:2]]
    page = html(e, shown)
    reader = Balanced()
    reader.feed(page)
    assert reader.open == []
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "<script" not in page and "url(" not in page
    assert "test &lt;data&gt;" in page and "Mandible&lt;b&gt;" in page and "model &amp; A" in page
    assert "not everywhere" in page and "It is worse at Larynx" in page
    for text in ("c99: It can&#x27;t be read.", "Trained on it.", "contourdesk model default x y", "∞"):
        assert text in page
    assert page.count('src="data:image/png;base64,') == 2
    for svg in re.findall(r"<svg.*?</svg>", page, re.S):
        ElementTree.fromstring(svg)


def test_page_of_one_model():
    scores = [s for s in two_models({"Brainstem": [0.1] * 7}) if s.model == "A"]
    e = put_together(scores, source="x", models=example().models[:1], tolerance_mm=2.0, commands={})
    page = html(e, [])
    assert "How good is the model?" in page and "Mean Dice 0.700 over all organs, 7 patients" in page
    assert "B minus A" not in page and "The rule" not in page


def test_json_and_csv_hold_every_figure():
    e = example()
    read = json.loads(report_json(e), parse_constant=lambda name: pytest.fail(name))
    assert read["verdict"]["kind"] == "better, but"
    assert next(s for s in read["scores"] if s["missing"])["hd95_mm"] == "inf"
    rows = list(csv.DictReader(io.StringIO(scores_csv(e.scores).decode())))
    assert len(rows) == len(e.scores) == 12 * 2 * 2 + 1
    assert rows[0]["organ"] == "Brainstem" and float(rows[0]["volume_percent"]) == pytest.approx(10.0)


# -- pictures --------------------------------------------------------------------------------------------------------

SHAPE = (5, 60, 80)


def drawn(grid: Grid, mask: Mask, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The picture (rows, columns, RGB) and the place (row, column) of the drawn line's middle in it, 0 to 1."""
    volume = Volume(grid, np.full(SHAPE, 20, np.int16), "HU")
    pixels = np.asarray(Image.open(io.BytesIO(picture(volume, {name: mask}, 2)))).astype(int)
    near = np.abs(pixels - np.array(COLOURS[name])).sum(axis=2) < 60
    assert near.any()
    return pixels, (np.argwhere(near).mean(axis=0) + 0.5) / near.shape


def test_picture_has_the_shape_of_the_body_and_the_line_where_the_mask_is():
    grid = Grid.from_spacing(SHAPE, (3.0, 2.0, 1.0))  # rows of 2 mm, columns of 1 mm
    pixels, middle = drawn(grid, Mask((1, 20, 30), np.ones((3, 10, 20), bool)), "truth")
    # Round the mask (20 mm by 20 mm) 30 mm more on each side, and 90 mm at least: here all 80 mm of the columns.
    assert pixels.shape[0] / pixels.shape[1] == pytest.approx(92 / 80, abs=0.06)
    np.testing.assert_allclose(middle, [0.5, 0.5], atol=0.04)


@pytest.mark.parametrize("name", ["A", "B"])
def test_patients_right_is_on_the_left_however_the_array_lies(name: str):
    right_front = Mask((2, 4, 4), np.ones((1, 6, 6), bool))  # low x is the patient's right, low y the front
    affine = np.array([[0, 0, 1.0, 0], [0, 1.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])
    _, middle = drawn(Grid(SHAPE, affine), right_front, name)
    assert middle[0] < 0.4 and middle[1] < 0.4
    turned = affine.copy()
    turned[0, 2], turned[0, 3] = -1.0, 79.0  # columns run from left to right
    _, middle = drawn(Grid(SHAPE, turned), right_front, name)
    assert middle[0] < 0.4 and middle[1] > 0.6


# -- the command -----------------------------------------------------------------------------------------------------


def test_evaluate_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = make_dataset(tmp_path / "data", 7, unknown={"case_6": ["Mandible"]})
    (data / "labelsTs" / "case_5.nii.gz").write_text("damaged")
    old, new = make_model(tmp_path / "old"), make_model(tmp_path / "new", seed=4)
    (new / "training.json").write_text(json.dumps({"cases": ["case_0", "case_9"]}))
    command = ["evaluate", str(data), "--model", str(old), "--model", str(new), "--out", str(tmp_path / "out")]
    assert main([*command, "--device", "cpu"]) == 2  # one case is damaged
    said = capsys.readouterr()
    assert "error: case_5: case_5.nii.gz can't be read" in said.err
    assert "Model B was trained on 1 of these cases (case_0)" in said.err
    assert "The folder of model A does not say which cases it was trained on" in said.err
    read = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(read["failed"]) == ["case_5"] and len(read["scores"]) == 2 * (6 * 3 - 1)
    assert read["verdict"]["kind"] in ("better", "better, but", "worse", "not shown")
    page = (tmp_path / "out" / "report.html").read_text()
    views = sorted((tmp_path / "out" / "worst").iterdir())
    assert views and f"contourdesk review {views[0]}" in page
    info = review_at(views[0])
    assert info is not None and info.image_path == data / "imagesTs" / f"{views[0].name}_0000.nii.gz"
    _, session, _ = run(read_review(views[0]))
    assert {s.name for s in session.structures} >= {"Brainstem", "Brainstem A", "Brainstem B"}
    assert {s.group for s in session.structures} == {"Truth", "Model A", "Model B"}
    assert f"contourdesk model add {new}" in page
    assert "contourdesk model default &quot;head and neck&quot; headneck" in page
    assert (
        not (tmp_path / "home" / "models.json").exists() or "new" not in (tmp_path / "home" / "models.json").read_text()
    )


def test_nothing_known_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = make_dataset(tmp_path / "data", 1, unknown={"case_0": ["Brainstem", "Mandible"]})
    model = make_model(tmp_path / "model", labels={"Heart": 1, "LeftLung": 2})
    assert main(["evaluate", str(data), "--model", str(model), "--out", str(tmp_path / "out")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(lines) == 1 and "There is nothing known to compare" in lines[0] and "Parotid_R" in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_plan_that_found_nothing_is_refused(tmp_path: Path):
    data = make_dataset(tmp_path / "data", 1)
    plan = make_plan([data], [str(make_model(tmp_path / "model"))], tmp_path / "out")
    found = Found([CaseResult("case_0", "p", "i", ())], {})
    with pytest.raises(Exception, match="nothing known to compare"):
        finish(plan, found)
