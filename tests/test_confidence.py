"""Probabilities on a phantom whose every threshold is a ball of a known radius: thresholds, edits, files, undo."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contourdesk.app import confidence_files
from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.confidence import UNCERTAINTY, Confidence, bounded, fit, moved
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.project import CASE, PREVIOUS, load, resume, save
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet
from contourdesk.app.volume import Volume

GRID = Grid.from_spacing((24, 40, 36), (3.0, 1.0, 1.5))
CENTRE = np.array([12, 20, 18])


def distance_mm() -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, GRID.shape), indexing="ij"), axis=-1)
    return np.linalg.norm((index - CENTRE) * GRID.spacing_mm, axis=-1)


def chance() -> np.ndarray:
    """Certain within 6 mm, impossible beyond 18 mm, linear between: a threshold t is a ball of 18 - 12 t mm."""
    return np.clip((18 - distance_mm()) / 12, 0, 1)


def confidence() -> Confidence:
    values = np.round(chance() * 255).astype(np.uint8)
    values[values < 5] = 0
    return Confidence((2, 2, 3), values[2:22, 2:39, 3:33])


def proposal(name: str = "Ball", **more: object) -> Structure:
    """What a model would propose: half a voxel's chance is enough, but a neighbour took a corner."""
    bits = chance() >= 0.5
    bits[:, :, 24:] &= chance()[:, :, 24:] >= 0.6
    provenance = Provenance("model", model="m", weights_sha256="ab")
    return Structure(name, (1, 2, 3), Mask.from_dense(bits), provenance, **more)


def new_session() -> ReviewSession:
    volume = Volume(GRID, np.zeros(GRID.shape, np.int16))
    return ReviewSession(Case(Patient(), volume, Source(Path("phantom"), "1.2.3")))


@pytest.fixture
def session() -> ReviewSession:
    session = new_session()
    new = proposal(id="ball")
    session.add_proposals([new], confidence={"ball": confidence()})
    return session


@pytest.mark.parametrize("threshold", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_a_threshold_is_the_ball_of_its_radius(threshold: float):
    expected = chance() * 255 >= round(threshold * 255) - 0.5
    assert confidence().mask(threshold).equals(Mask.from_dense(expected))


def test_uncertainty_is_greatest_at_half():
    assert UNCERTAINTY[0] < 1e-6
    assert UNCERTAINTY[255] < 1e-6
    assert UNCERTAINTY.argmax() in (127, 128)
    assert np.isclose(UNCERTAINTY[64], UNCERTAINTY[191])


def test_an_untouched_proposal_moves_as_a_whole(session):
    s = session.structures.get("ball")
    assert fit(s, confidence()).threshold is None
    mask, edited = run(moved(s, confidence(), 0.7, keep_edits=True))
    assert edited == 0
    assert mask.equals(confidence().mask(0.7))


@pytest.mark.parametrize("threshold", [0.1, 0.31, 0.62, 0.9])
def test_a_threshold_that_was_applied_is_found_again(session, threshold: float):
    session.replace_mask("ball", confidence().mask(threshold), "threshold")
    found = fit(session.structures.get("ball"), confidence())
    assert found.differing == 0
    assert confidence().mask(found.threshold).equals(confidence().mask(threshold))


@pytest.mark.parametrize("first", [None, 0.7])
def test_edits_by_hand_are_kept_exactly(session, first: float | None):
    if first is not None:
        session.replace_mask("ball", confidence().mask(first), "threshold")
    session.paint("ball", (10, 2, 2), np.ones((3, 5, 4), bool))  # far off, outside the box of probabilities too
    session.paint("ball", (12, 18, 16), np.zeros((1, 4, 4), bool))  # a hole in the middle
    s = session.structures.get("ball")
    assert fit(s, confidence()).differing == 60 + 16
    mask, edited = run(moved(s, confidence(), 0.4, keep_edits=True))
    assert edited == 76
    expected = confidence().mask(0.4).dense(GRID.shape)
    expected[10:13, 2:7, 2:6] = True
    expected[12, 18:22, 16:20] = False
    assert mask.equals(Mask.from_dense(expected))
    without, _ = run(moved(s, confidence(), 0.4, keep_edits=False))
    assert without.equals(confidence().mask(0.4))


def test_a_part_of_the_image_is_proposed_anew_and_the_rest_stays(session):
    new = proposal(id="again")
    none = replace(new, mask=Mask())
    box = (slice(0, 12), slice(0, 40), slice(0, 36))
    before = session.structures.get("ball").mask.dense(GRID.shape)
    session.add_proposals([none], box=box)
    again = session.structures.get("again")
    assert again.mask.equals(Mask.from_dense(np.where(np.arange(24)[:, None, None] < 12, False, before)))
    values = session.confidence("again").read(tuple(slice(0, n) for n in GRID.shape))
    assert not values[:12].any()
    assert np.array_equal(values[12:], confidence().read(tuple(slice(0, n) for n in GRID.shape))[12:])
    session.undo()
    assert session.structures.get("ball").mask.equals(proposal().mask)
    assert session.confidence("ball") is not None


def test_a_part_by_another_model_stands_beside(session):
    other = replace(proposal(id="other"), provenance=Provenance("model", model="n", weights_sha256="cd"))
    session.add_proposals([other], box=(slice(0, 12), slice(0, 40), slice(0, 36)))
    assert [s.name for s in session.structures] == ["Ball", "Ball (2)"]


def test_what_is_gone_is_kept_within_bounds():
    kept = {str(i): confidence() for i in range(5)}
    size = kept["0"].nbytes
    assert list(bounded(kept, ["4"], 2 * size)) == ["2", "3", "4"]
    assert list(bounded(kept, ["0", "4"], 0)) == ["0", "4"]
    assert list(bounded(kept, [])) == list(kept)


# -- on disk -----------------------------------------------------------------------------------------------------


def test_a_review_brings_them_back(session, tmp_path):
    run(save(session.snapshot(), tmp_path))
    (file,) = tmp_path.glob(confidence_files.PATTERN)
    stamp = file.stat().st_mtime_ns
    session.rename("ball", "Bulb")
    run(save(session.snapshot(), tmp_path))
    assert file.stat().st_mtime_ns == stamp  # written once
    assert file.stat().st_size < confidence().nbytes / 2
    saved = run(load(tmp_path))
    again = resume(session.case, saved)
    back = again.confidence("ball")
    assert back.digest == session.confidence("ball").digest
    assert np.array_equal(back.values, session.confidence("ball").values)
    assert not saved.notes


def test_files_that_no_save_needs_go(session, tmp_path):
    run(save(session.snapshot(), tmp_path))
    session.delete("ball")
    run(save(session.snapshot(), tmp_path))
    assert list(tmp_path.glob(confidence_files.PATTERN))  # the save before still names it
    session.add("A")
    run(save(session.snapshot(), tmp_path))
    assert not list(tmp_path.glob(confidence_files.PATTERN))
    session.undo()
    session.undo()
    run(save(session.snapshot(), tmp_path))
    assert run(load(tmp_path)).confidence


def test_an_older_review_opens(session, tmp_path):
    run(save(session.snapshot(), tmp_path))
    for name in (CASE, PREVIOUS):
        path = tmp_path / name
        if path.exists():
            content = json.loads(path.read_text())
            content.pop("confidence")
            path.write_text(json.dumps(content))
    saved = run(load(tmp_path))
    assert not saved.confidence
    assert not saved.notes
    assert len(saved.structures) == 1


@pytest.mark.parametrize("damage", ["gone", "short", "other", "text", "path", "box", "huge", "list"])
def test_damage_costs_the_probabilities_and_nothing_else(session, tmp_path, damage: str):
    run(save(session.snapshot(), tmp_path))
    (file,) = tmp_path.glob(confidence_files.PATTERN)
    data = file.read_bytes()
    content = json.loads((tmp_path / CASE).read_text())
    entry = content["confidence"][0]
    if damage == "gone":
        file.unlink()
    elif damage in ("short", "other", "text"):
        other = data[:60] + bytes([data[60] ^ 1]) + data[61:]
        file.write_bytes({"short": data[:-9], "text": b"hello", "other": other}[damage])
    elif damage == "path":
        entry["file"] = "../" + entry["file"]
    elif damage == "box":
        entry["offset"] = [20, 2, 3]
    elif damage == "huge":
        entry["shape"] = [2**20, 2**20, 2**20]
    else:
        content["confidence"] = 3
    (tmp_path / CASE).write_text(json.dumps(content))
    saved = run(load(tmp_path))
    assert not saved.confidence
    assert len(saved.structures) == 1
    assert damage == "list" or "can't be shown" in " ".join(saved.notes)


def test_structure_set_is_untouched_by_them(session):
    assert isinstance(session.structures, StructureSet)
    assert session.snapshot().confidence.keys() == {"ball"}
    session.delete("ball")
    assert not session.snapshot().confidence
    session.undo()
    assert session.snapshot().confidence.keys() == {"ball"}
