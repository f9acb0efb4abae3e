"""Prompts for nnInteractive: a checkpoint that the user gives, run by the package of that name (an optional extra).

nnInteractive's own loader unpickles the checkpoint, which runs whatever program code is in it, and looks classes up by
the names in the folder. Here the weights are read by the unpickler that knows numbers only, the network comes from the
table of known ones, and the package gets both ready-made.

The weights that its authors offer are licensed CC BY-NC-SA 4.0: not for commercial use. They are not part of this
program.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from contourdesk.app.errors import UserError
from contourdesk.app.footprints import Patch
from contourdesk.app.itself import how_to_get
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.prompts import Prompt, footprint
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume
from contourdesk.inference.checkpoints import plain_weights, read_checkpoint
from contourdesk.inference.device import choose_device
from contourdesk.inference.nnunet import network_with_weights
from contourdesk.inference.plans import WHOLE, count_channels, read_json, reason, resolve

_MARKS = ("inference_info.json", "inference_session_class.json")
_OUTPUTS = 2  # background and the structure, whatever labels it was trained on


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder looks like a checkpoint of nnInteractive."""
    return (folder / "plans.json").is_file() and any((folder / mark).is_file() for mark in _MARKS)


def is_installed() -> bool:
    """Whether the package is there."""
    try:
        return importlib.util.find_spec("nnInteractive.inference.inference_session") is not None
    except ModuleNotFoundError:
        return False


class Interactive:
    """A loaded checkpoint. It remembers image and prompts, so that a further prompt costs one prediction.

    Not for two threads at once.
    """

    def __init__(self, session: Any, licence: str) -> None:
        self.licence = licence
        self._session = session
        self._volume: Volume | None = None
        self._base: Mask | None = None
        self._done: tuple[Prompt, ...] = ()

    def refine(self, mask: Mask, volume: Volume, prompts: Sequence[Prompt]) -> Job[Mask]:
        """Job: the mask as the network makes it of the prompts, all together.

        Parameters
        ----------
        mask : the structure before the first of the prompts.

        Raises
        ------
        UserError : a kind of prompt that the checkpoint does not know.
        """
        yield Progress(0, len(prompts), "nnInteractive")
        session, wanted = self._session, tuple(prompts)
        if volume is not self._volume:
            session.set_image(np.asarray(volume.array, np.float32)[None])
            session.set_target_buffer(np.zeros(volume.grid.shape, np.uint8))
            self._volume, self._base = volume, None
        known = mask is self._base and wanted[: len(self._done)] == self._done
        if not known:
            self._begin(mask, volume)
        new = wanted[len(self._done) :]
        # Should a prediction fail half way, the next call begins anew.
        self._base = None
        for i, prompt in enumerate(new):
            yield Progress(i, len(new), "nnInteractive")
            try:
                _tell(session, prompt, footprint(prompt, volume.grid), last=i == len(new) - 1)
            except ValueError as error:
                raise UserError(
                    f"This checkpoint can't follow a {prompt.kind}: {error}", "Use another kind of mark."
                ) from error
        self._base, self._done = mask, wanted
        return Mask.from_dense(np.asarray(session.target_buffer) > 0)

    def _begin(self, mask: Mask, volume: Volume) -> None:
        self._session.reset_interactions()
        if not mask.is_empty and self._session.supports_initial_label:
            self._session.add_initial_seg_interaction(mask.dense(volume.grid.shape).astype(np.uint8))
        self._done = ()


def _tell(session: Any, prompt: Prompt, patch: Patch, *, last: bool) -> None:
    offset, bits = patch
    if bits.size == 0:
        return
    box = [[o, o + n] for o, n in zip(offset, bits.shape, strict=True)]
    if prompt.kind == "point":
        place = [round(v) for v in prompt.points[0]]
        session.add_point_interaction(place, prompt.inside, run_prediction=last)
    elif prompt.kind == "box":
        session.add_bbox_interaction(box, prompt.inside, run_prediction=last)
    else:
        add = session.add_scribble_interaction if prompt.kind == "scribble" else session.add_lasso_interaction
        add(bits.astype(np.uint8), prompt.inside, run_prediction=last, interaction_bbox=box)


def load(folder: Path, device: str | torch.device | None = None, *, zoom_out: bool = True) -> Interactive:
    """Read a checkpoint folder: ``plans.json``, ``dataset.json``, ``inference_info.json`` and one ``fold_*``.

    Parameters
    ----------
    zoom_out : let it look further round where a structure reaches the edge of what it sees.

    Raises
    ------
    UserError : the package isn't installed; the folder is no checkpoint of nnInteractive, is damaged, or holds program
        code.
    """
    if not is_installed():
        raise UserError(
            "nnInteractive isn't installed.",
            f"{how_to_get('nninteractive')} Then try again.",
        )
    if not is_checkpoint(folder):
        raise UserError(f"{folder} is no checkpoint of nnInteractive.", WHOLE)
    paths = sorted(folder.glob("fold_*/checkpoint_final.pth"))
    if len(paths) != 1:
        raise UserError(f"{folder} must hold one fold_*/checkpoint_final.pth; it has {len(paths)}.", WHOLE)
    plans, dataset = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    content = read_checkpoint(paths[0])
    from nnInteractive.inference.inference_session import nnInteractiveInferenceSession

    where = choose_device(device)
    session = nnInteractiveInferenceSession(
        device=where, torch_n_threads=torch.get_num_threads(), do_autozoom=zoom_out, enable_undo=False
    )
    try:
        name = str(content["init_args"]["configuration"])
        configuration = resolve(plans["configurations"], name)
        patch = tuple(int(n) for n in configuration["patch_size"])
        architecture: Mapping[str, Any] = configuration["architecture"]
        if len(patch) != 3:
            raise ValueError("it does not work in three dimensions")
        capability, radius, thickness, decay, padding = session._load_capability_and_runtime_defaults(str(folder))
        session._apply_capability(capability)
        inputs = count_channels(dataset, folder / "dataset.json") + int(session.num_interaction_channels)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError, AttributeError) as error:
        raise UserError(f"{folder} can't be used: {reason(error)}.", WHOLE) from error
    weights = plain_weights(content["network_weights"], paths[0])
    network = network_with_weights(architecture, inputs, _OUTPUTS, weights, paths[0]).to(where)
    from nnInteractive.interaction.point import PointInteraction_stub

    licence = session._load_license(str(folder), plans, content)
    session.initialize_from_loaded_artifacts(
        {
            "capability_content": capability,
            "point_interaction": PointInteraction_stub(radius, True),
            "preferred_scribble_thickness": thickness,
            "interaction_decay": decay,
            "pad_mode_data": padding,
            "network": network,
            "plans_manager": None,
            "configuration_manager": SimpleNamespace(patch_size=patch),
            "dataset_json": dataset,
            "trainer_name": "",
            "label_manager": None,
            "license": licence,
        }
    )
    return Interactive(session, licence)
