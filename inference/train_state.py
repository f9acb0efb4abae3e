"""What a training run is at a step: saved whole, it goes on as if nothing had happened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contourdesk.app.errors import UserError
from contourdesk.app.training_run import FOLD
from contourdesk.inference.train_plans import TrainConfig

FINAL = f"{FOLD}/checkpoint_final.pth"
BEST = f"{FOLD}/checkpoint_best.pth"
LATEST = f"{FOLD}/checkpoint_latest.pth"


class State:
    """Network, optimiser, moving average of the weights, and what chance depends on.

    What a step looks at depends on the seed and the step's number alone, so it needs no memory.

    Parameters
    ----------
    network : on its device, with its first weights.
    """

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        self.network = network
        decay = [p for p in network.parameters() if p.ndim > 1]
        rest = [p for p in network.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decay, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=config.peak_rate,
        )
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.step, self.spent = 0, 0.0  # seconds
        self.losses: list[float] = []  # since the last line of progress.csv

    def after_step(self, loss: float) -> None:
        """Count a step, and let the average follow."""
        self.step += 1
        self.losses.append(loss)
        average(self.average, self.network, min(0.998, (1 + self.step) / (10 + self.step)))

    def save(self, out: Path, configuration: str) -> None:
        """Write the checkpoint to go on from, and a model of the average so far."""
        content = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "step": self.step,
            "spent": self.spent,
            "losses": self.losses,
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        _save(out / LATEST, content)
        write_checkpoint(out / BEST, self.average, True, configuration)

    def load(self, out: Path, device: torch.device) -> None:
        """Go back to the last checkpoint, if there is one.

        Raises
        ------
        UserError : it can't be read, or is of another network.
        """
        path = out / LATEST
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.average, self.step, self.spent = state["average"], state["step"], state["spent"]
            self.losses = state["losses"]
            torch.set_rng_state(state["torch"].cpu())
            if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
        except (RuntimeError, KeyError, ValueError, EOFError, OSError) as error:
            raise UserError(f"The checkpoint {path} can't be used.", "Start the training anew.") from error


def average(kept: Mapping[str, Tensor], network: nn.Module, decay: float) -> None:
    """Let the moving average of the weights follow the network's."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                kept[name].lerp_(value, 1 - decay)
            else:
                kept[name].copy_(value)


def _save(path: Path, content: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def write_checkpoint(
    path: Path, weights: Mapping[str, Tensor], half: bool = True, configuration: str = "3d_fullres"
) -> None:
    """``checkpoint_final.pth`` with the keys that nnU-Net's predictor reads; fp16 weights unless told otherwise."""
    # nnU-Net's decoder holds its encoder, so every encoder weight has two names: store it once.
    stored: dict[str, Tensor] = {}
    kept = {}
    for name, value in weights.items():
        once = name.removeprefix("decoder.") if name.startswith("decoder.encoder.") else name
        kept[name] = stored.setdefault(once, value.half() if half and value.is_floating_point() else value.clone())
    _save(
        path,
        {
            "network_weights": kept,
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": configuration, "fold": 0},
            "inference_allowed_mirroring_axes": None,
        },
    )
