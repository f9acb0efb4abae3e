"""nnInteractive with a small checkpoint of random weights in its own format, by the package itself."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from tiny_model import tiny_plans

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.prompts import Prompt
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume
from contourdesk.inference import nninteractive
from contourdesk.inference.networks import build_network

GRID = Grid.from_spacing((20, 30, 32), (3.0, 1.0, 1.0))
CHANNELS = 7  # the mask so far, and inside and outside of three kinds

needs_package = pytest.mark.skipif(not nninteractive.is_installed(), reason="nnInteractive is not installed")


def write_checkpoint(folder, weights=None, **info):
    """A folder as nnInteractive's authors release it."""
    plans = tiny_plans(patch_size=(64, 64, 64))
    block = plans["configurations"]["3d_fullres"]["architecture"]
    keys = ("network_class_name", "arch_kwargs", "_kw_requires_import")
    torch.manual_seed(1)
    network = build_network(*(block[k] for k in keys), 1 + CHANNELS, 2)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0, "object": 1}, "file_ending": ".nii.gz"})
    )
    (folder / "inference_info.json").write_text(json.dumps({"point_radius": 2, "interaction_decay": 0.98, **info}))
    (folder / "LICENSE").write_text("MIT\nmore words")
    content = {
        "network_weights": network.state_dict() if weights is None else weights,
        "trainer_name": "nnInteractiveTrainer_stub",
        "init_args": {"configuration": "3d_fullres"},
    }
    torch.save(content, folder / "fold_0" / "checkpoint_final.pth")
    return folder


def volume():
    return Volume(GRID, np.random.default_rng(0).normal(0, 100, GRID.shape).astype(np.int16))


def test_what_is_a_checkpoint(tmp_path):
    assert nninteractive.is_checkpoint(write_checkpoint(tmp_path / "a"))
    assert not nninteractive.is_checkpoint(tmp_path)


def test_without_the_package_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(nninteractive, "is_installed", lambda: False)
    with pytest.raises(UserError, match="isn't installed"):
        nninteractive.load(write_checkpoint(tmp_path / "a"))


@needs_package
def test_each_kind_of_prompt_reaches_the_network(tmp_path):
    model = nninteractive.load(write_checkpoint(tmp_path / "a"), "cpu", zoom_out=False)
    assert model.licence == "MIT"
    image, start = volume(), Mask.from_dense(np.pad(np.ones((4, 6, 6), bool), ((8, 8), (12, 12), (13, 13))))
    prompts = [
        Prompt("point", True, 0, ((10.0, 15.0, 16.0),)),
        Prompt("scribble", False, 1, ((8.0, 5.0, 6.0), (12.0, 5.0, 20.0))),
        Prompt("box", True, 0, ((9.0, 8.0, 8.0), (9.0, 20.0, 22.0))),
        Prompt("lasso", True, 2, ((6.0, 8.0, 16.0), (14.0, 8.0, 16.0), (14.0, 20.0, 16.0), (6.0, 20.0, 16.0))),
    ]
    last = [run(model.refine(start, image, prompts[: n + 1])) for n in range(len(prompts))][-1]
    channels = [model._session.interactions[c] for c in range(CHANNELS)]
    used = [bool((np.asarray(c) != 0).any()) for c in channels]
    mapping = model._session.channel_mapping
    assert used[mapping["points"][0]] and not used[mapping["points"][1]]
    assert used[mapping["scribble"][1]] and not used[mapping["scribble"][0]]
    assert used[mapping["lasso"][0]]
    # Begun anew on the same mask it is the same, whatever was told in between.
    run(model.refine(Mask(), image, prompts[:1]))
    again = [run(model.refine(start, image, prompts[: n + 1])) for n in range(len(prompts))][-1]
    assert again.equals(last)


@needs_package
def test_the_network_is_the_packages_own(tmp_path):
    """The package's own loader, which unpickles, on the same folder: the same mask."""
    from nnInteractive.inference.inference_session import nnInteractiveInferenceSession

    folder, image = write_checkpoint(tmp_path / "a"), volume()
    ours = run(
        nninteractive.load(folder, "cpu", zoom_out=False).refine(
            Mask(), image, [Prompt("point", True, 0, ((10.0, 15.0, 16.0),))]
        )
    )
    session = nnInteractiveInferenceSession(device=torch.device("cpu"), do_autozoom=False)
    session.initialize_from_trained_model_folder(str(folder))
    session.set_image(image.array[None].astype(np.float32))
    session.set_target_buffer(np.zeros(GRID.shape, np.uint8))
    session.add_point_interaction((10, 15, 16), True)
    assert np.array_equal(ours.dense(GRID.shape), session.target_buffer > 0)


class Runs:
    def __reduce__(self):
        return os.system, ("touch /nowhere/at-all",)


@needs_package
@pytest.mark.parametrize("what", ["code", "network", "names", "two"])
def test_what_would_run_code_or_does_not_fit_is_refused(tmp_path, what):
    folder = write_checkpoint(tmp_path / "a", weights={"a": Runs()} if what == "code" else None)
    plans = json.loads((folder / "plans.json").read_text())
    if what == "network":
        plans["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = "os.system"
    if what == "names":
        (folder / "inference_info.json").write_text(json.dumps({"supported_interactions": {"telepathy": True}}))
    if what == "two":
        (folder / "fold_1").mkdir()
        (folder / "fold_1" / "checkpoint_final.pth").write_bytes(b"")
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(UserError):
        nninteractive.load(folder, "cpu", zoom_out=False)
