"""The tables of layers come from running the networks, and the docs show what the command prints."""

import json
import runpy
from pathlib import Path

import pytest
import torch
from tiny_model import make_model

from contourdesk.app.cli import main
from contourdesk.inference.describe import layers_of
from contourdesk.inference.fcn import FCN
from contourdesk.inference.networks import build_network
from contourdesk.inference.unet2015 import UNet2015

ROOT = Path(__file__).resolve().parents[1]


def test_shapes_are_those_of_a_real_run():
    network = UNet2015(1, 3, width=1).eval()
    seen: list[tuple[int, ...]] = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.MaxPool2d):
            module.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
    with torch.no_grad():
        network(torch.zeros(1, 1, 204, 220))
    layers = layers_of(UNet2015(1, 3, width=1), 1, (204, 220))
    assert [layer.shape for layer in layers if layer.name] == seen
    assert sum(layer.weights for layer in layers) == sum(p.numel() for p in network.parameters())
    assert [layer.what for layer in layers].count("crop and concatenate") == 4


def test_receptive_field_is_what_gradients_reach():
    """All weights one: the gradient of a pixel is not zero exactly where it looks."""
    network = FCN(1, 1, width=1, dropout=0).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1 if parameter.ndim > 1 else 0)
    image = torch.ones(1, 1, 252, 252, dtype=torch.float64, requires_grad=True)
    result = network(image)
    sizes = set()
    for y in range(20, 40, 3):
        (gradient,) = torch.autograd.grad(result[0, 0, y, 34], image, retain_graph=True)
        rows, columns = (gradient[0, 0].sum(dim).nonzero().flatten() for dim in (1, 0))
        sizes |= {int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1}
    assert max(sizes) == layers_of(FCN(1, 1, width=1), 1, (252, 252))[-1].view[0] == 204


def test_receptive_field_of_a_padded_network_is_not_cut_by_its_borders():
    """3 convolutions of 3, one after a stride of 2, one of them twice as wide: 1 + 2 + 2 + 4."""
    network = torch.nn.Sequential(
        torch.nn.Conv3d(1, 2, 3, padding=1),
        torch.nn.Conv3d(2, 2, 3, padding=1, stride=2),
        torch.nn.Conv3d(2, 2, 3, padding=1),
        torch.nn.ConvTranspose3d(2, 1, 2, stride=2),
    )
    assert [layer.view[0] for layer in layers_of(network, 1, (4, 4, 4))] == [3, 5, 9, 9]


@pytest.mark.parametrize("name", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_every_weight_of_a_model_is_in_the_table(name: str):
    plans = json.loads((ROOT / "resources/models/headneck/plans.json").read_text())["configurations"]["3d_fullres"]
    kwargs = dict(plans["architecture"]["arch_kwargs"])
    if name == "ResidualEncoderUNet":
        kwargs["n_blocks_per_stage"] = kwargs.pop("n_conv_per_stage")
    network = build_network(
        f"dynamic_network_architectures.architectures.unet.{name}",
        kwargs,
        plans["architecture"]["_kw_requires_import"],
        1,
        8,
    )
    used = {id(p): p.numel() for n, p in network.named_parameters() if "seg_layers" not in n or "seg_layers.3" in n}
    layers = layers_of(network, 1, plans["patch_size"])
    assert sum(layer.weights for layer in layers) == sum(used.values())
    assert layers[-1].shape == (8, *plans["patch_size"])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = make_model(tmp_path / "model")
    assert main(["model", "describe", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "| 1 × 16 × 24 × 20 " in out
    assert "| 4 × 16 × 24 × 20 " in out
    assert main(["model", "describe", "unet2015", "--width", "2", "--size", "300"]) == 0
    assert "2 × 116 × 116" in capsys.readouterr().out
    assert main(["model", "describe", "unet2015", "--size", "301"]) == 2
    assert main(["model", "describe", "no such model"]) == 2
    assert main(["model", "describe", str(folder), "--width", "2"]) == 2


def test_docs_show_what_the_command_prints():
    """Run ``python packaging/network_tables.py`` when this fails."""
    tables = runpy.run_path(str(ROOT / "packaging/network_tables.py"))
    text = (ROOT / "docs/networks.md").read_text(encoding="utf-8")
    assert text.count("<!-- contourdesk model describe") == 3
    assert tables["filled"](text) == text
