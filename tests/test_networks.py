"""Networks come from an allow-list, and from nothing else."""

import pytest
import torch
from tiny_model import tiny_plans

from contourdesk.app.errors import UserError
from contourdesk.inference.networks import build_network

PLANS = tiny_plans()["configurations"]["3d_fullres"]["architecture"]
KEYS = PLANS["_kw_requires_import"]


@pytest.mark.parametrize("name", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_known_networks_are_built(name: str):
    kwargs = dict(PLANS["arch_kwargs"])
    if name == "ResidualEncoderUNet":
        kwargs["n_blocks_per_stage"] = kwargs.pop("n_conv_per_stage")
    network = build_network(f"dynamic_network_architectures.architectures.unet.{name}", kwargs, KEYS, 1, 4)
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 16, 16, 16)).shape == (1, 4, 16, 16, 16)


def test_unknown_network_is_refused():
    with pytest.raises(UserError, match=r"os\.system"):
        build_network("os.system", {}, [], 1, 4)


def test_unknown_operator_is_refused():
    kwargs = {**PLANS["arch_kwargs"], "nonlin": "subprocess.Popen"}
    with pytest.raises(UserError, match="subprocess"):
        build_network(PLANS["network_class_name"], kwargs, KEYS, 1, 4)
