"""Networks by name, built from what a ``plans.json`` says: nnU-Net's architectures, the 2015 U-Net and the FCN.

nnU-Net's come from ``dynamic-network-architectures`` (the library nnU-Net itself uses), so state dicts fit
without renaming; the other two are written out here. A model folder names its classes as text; only names in the
tables below are looked up, so a folder can never make this program import or run something of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from contourdesk.app.errors import UserError
from contourdesk.inference.fcn import FCN
from contourdesk.inference.unet2015 import UNet2015

# Everything that a plans.json of nnU-Net v2 may name. Short names are tolerated because old plans use them.
_OPERATORS: dict[str, type[nn.Module]] = {
    "torch.nn.modules.conv.Conv2d": nn.Conv2d,
    "torch.nn.modules.conv.Conv3d": nn.Conv3d,
    "torch.nn.modules.instancenorm.InstanceNorm2d": nn.InstanceNorm2d,
    "torch.nn.modules.instancenorm.InstanceNorm3d": nn.InstanceNorm3d,
    "torch.nn.modules.batchnorm.BatchNorm2d": nn.BatchNorm2d,
    "torch.nn.modules.batchnorm.BatchNorm3d": nn.BatchNorm3d,
    "torch.nn.modules.dropout.Dropout2d": nn.Dropout2d,
    "torch.nn.modules.dropout.Dropout3d": nn.Dropout3d,
    "torch.nn.LeakyReLU": nn.LeakyReLU,
    "torch.nn.modules.activation.LeakyReLU": nn.LeakyReLU,
    "torch.nn.ReLU": nn.ReLU,
    "torch.nn.modules.activation.ReLU": nn.ReLU,
}
_ARCHITECTURES = ("PlainConvUNet", "ResidualEncoderUNet")
# Networks of this program: they work on slices, without padding (see `contourdesk.inference.overlap_tile`).
UNPADDED: dict[str, type[UNet2015 | FCN]] = {
    "contourdesk.inference.unet2015.UNet2015": UNet2015,
    "contourdesk.inference.fcn.FCN": FCN,
}


def is_unpadded(network: nn.Module) -> bool:
    """Whether a network's result is smaller than its input, so that it needs the overlap-tile strategy."""
    return isinstance(network, UNet2015 | FCN)


def build_network(
    class_name: str,
    arch_kwargs: Mapping[str, Any],
    kwargs_requiring_import: Sequence[str],
    input_channels: int,
    num_classes: int,
    deep_supervision: bool = False,
) -> nn.Module:
    """Build a network from the ``architecture`` block of an nnU-Net configuration.

    Parameters
    ----------
    class_name : as in ``plans.json``, e.g.
        ``dynamic_network_architectures.architectures.unet.PlainConvUNet``.
    arch_kwargs : keyword arguments of the class; operators by dotted name or None.
    kwargs_requiring_import : which of them are dotted names.
    input_channels, num_classes : channels in; output channels (background included).
    deep_supervision : return one output per decoder stage instead of the last only.

    Raises
    ------
    UserError : an architecture or operator that is not in the allow-list.

    Source: nnU-Net ``get_network_from_plans``, with the lookup replaced by an allow-list.
    """
    if class_name in UNPADDED:
        return _unpadded(class_name, arch_kwargs, input_channels, num_classes)
    from dynamic_network_architectures.architectures import unet

    short = class_name.rsplit(".", 1)[-1]
    if short not in _ARCHITECTURES:
        raise UserError(
            f"The model uses the network '{class_name}', which Contourdesk does not know.",
            f"Use a model with one of: {', '.join((*_ARCHITECTURES, *UNPADDED))}.",
        )
    kwargs = dict(arch_kwargs)
    for key in kwargs_requiring_import:
        name = kwargs.get(key)
        if name is None:
            continue
        if name not in _OPERATORS:
            raise UserError(
                f"The model's plans.json asks for '{name}' as {key}, which is not an allowed building block.",
                "Use an unmodified nnU-Net v2 model folder.",
            )
        kwargs[key] = _OPERATORS[name]
    network: nn.Module = getattr(unet, short)(
        input_channels=input_channels, num_classes=num_classes, deep_supervision=deep_supervision, **kwargs
    )
    return network


def _unpadded(class_name: str, kwargs: Mapping[str, Any], input_channels: int, num_classes: int) -> nn.Module:
    width = kwargs.get("width", 64)
    if not isinstance(width, int) or not 1 <= width <= 256 or set(kwargs) - {"width"}:
        raise UserError(
            f"The model's plans.json asks for {class_name} with {dict(kwargs)}, which is not possible.",
            "Give it a width from 1 to 256 and nothing else.",
        )
    return UNPADDED[class_name](input_channels, num_classes, width)
