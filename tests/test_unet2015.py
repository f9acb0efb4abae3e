"""The 2015 U-Net is the paper's, and the FCN is the same without its skip connections."""

import math

import pytest
import torch
from torch import nn

from contourdesk.app.errors import UserError
from contourdesk.inference.fcn import FCN
from contourdesk.inference.networks import UNPADDED, build_network, is_unpadded
from contourdesk.inference.unet2015 import UNet2015, crop

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@pytest.fixture(params=[UNet2015, FCN], ids=["unet2015", "fcn"])
def kind(request) -> type[UNet2015 | FCN]:
    return request.param


def on_meta(kind: type[UNet2015 | FCN], **kwargs: int) -> nn.Module:
    """At full width, without the 124 MB of weights."""
    with torch.device("meta"):
        return kind(**kwargs)


def test_572_pixels_in_388_out(kind: type[UNet2015 | FCN]):
    assert on_meta(kind)(torch.empty(1, 1, 572, 572, device="meta")).shape == (1, 2, 388, 388)


def test_23_convolutional_layers():
    layers = [m for m in on_meta(UNet2015).modules() if isinstance(m, CONVOLUTIONS)]
    assert len(layers) == 23
    assert sum(m.kernel_size == (3, 3) and isinstance(m, nn.Conv2d) for m in layers) == 18
    assert sum(m.kernel_size == (2, 2) and isinstance(m, nn.ConvTranspose2d) for m in layers) == 4
    assert sum(m.kernel_size == (1, 1) for m in layers) == 1
    assert all(m.padding == (0, 0) for m in layers)


def test_channels_double_to_1024_and_halve_again():
    network = on_meta(UNet2015)
    assert [c[2].out_channels for c in network.contract] == [64, 128, 256, 512, 1024]
    assert [u.out_channels for u in network.up] == [512, 256, 128, 64]
    assert [(c[0].in_channels, c[0].out_channels) for c in network.expand] == [
        (1024, 512),
        (512, 256),
        (256, 128),
        (128, 64),
    ]
    assert sum(p.numel() for p in network.parameters()) == 31_030_658


def test_width_changes_the_channels_and_nothing_else():
    narrow = on_meta(UNet2015, width=8)
    assert [c[2].out_channels for c in narrow.contract] == [8, 16, 32, 64, 128]
    assert sum(isinstance(m, CONVOLUTIONS) for m in narrow.modules()) == 23
    assert narrow(torch.empty(1, 1, 572, 572, device="meta")).shape == (1, 2, 388, 388)


def test_weights_begin_as_he_says(kind: type[UNet2015 | FCN]):
    torch.manual_seed(0)
    for layer in kind(3, 4, width=16).modules():
        if isinstance(layer, CONVOLUTIONS) and layer.weight.numel() > 2000:
            summed = layer.in_channels * (1 if isinstance(layer, nn.ConvTranspose2d) else math.prod(layer.kernel_size))
            assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / summed), rel=0.08)
            assert layer.weight.mean().item() == pytest.approx(0, abs=0.1 * math.sqrt(2 / summed))
            assert not layer.bias.any()


def test_dropout_at_the_end_of_the_contracting_path():
    network = UNet2015(width=1)
    seen = []
    network.dropout.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
    with torch.no_grad():
        network.train()
        image = torch.randn(1, 1, 204, 204)
        assert not torch.equal(network(image), network(image))
        assert seen[:2] == [(8, 18, 18), (16, 5, 5)]
        network.eval()
        assert torch.equal(network(image), network(image))


def test_the_skip_connection_carries_the_image_round_the_bottleneck():
    """With the bottleneck cut, the U-Net still tells images apart, and the network without skips can't."""
    torch.manual_seed(0)
    image = torch.randn(1, 1, 204, 204)
    with torch.no_grad():
        for kind, differs in ((UNet2015, True), (FCN, False)):
            network = kind(width=2).eval()
            network.up[0].weight.zero_()
            assert torch.equal(network(image), network(-image)) is not differs


def test_crop_takes_the_middle():
    features = torch.arange(64.0).view(1, 1, 8, 8)
    assert torch.equal(crop(features, (4, 6)), features[..., 2:6, 1:7])


@pytest.mark.parametrize("name", sorted(UNPADDED))
def test_built_by_name_with_a_width_and_nothing_else(name: str):
    network = build_network(name, {"width": 2}, [], 1, 5)
    assert is_unpadded(network)
    assert network.classify.out_channels == 5
    for bad in ({"width": 10**9}, {"width": "2"}, {"width": 2, "dropout": 0.1}, {"width": 0}):
        with pytest.raises(UserError, match="width"):
            build_network(name, bad, [], 1, 5)


def test_the_name_must_be_exact():
    with pytest.raises(UserError, match="does not know"):
        build_network("somewhere.else.UNet2015", {"width": 2}, [], 1, 5)
