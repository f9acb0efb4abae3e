"""What a network looks like from inside: the feature map after every layer, its weights, and how far it sees.

The network itself is run, on PyTorch's "meta" device, where tensors have a shape and no memory: a 572 x 572 image
through 31 million weights costs nothing. Nothing here is worked out from a formula for one kind of network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from contourdesk.app.errors import UserError
from contourdesk.inference.networks import build_network, is_unpadded
from contourdesk.inference.nnunet import load_model
from contourdesk.inference.overlap_tile import output_size
from contourdesk.inference.train_plans import LARGEST_TILE, SLICE_NETWORKS

# Layers that change values and not shapes: they are named in the row of the layer before them.
_POINTWISE = {
    nn.ReLU: "ReLU",
    nn.LeakyReLU: "leaky ReLU",
    nn.Dropout: "dropout",
    nn.Dropout2d: "dropout",
    nn.Dropout3d: "dropout",
    nn.InstanceNorm2d: "instance norm",
    nn.InstanceNorm3d: "instance norm",
    nn.BatchNorm2d: "batch norm",
    nn.BatchNorm3d: "batch norm",
}
# To measure how far a padded network sees, it gets an image this much larger: borders must not cut its view.
_ENLARGED = 16

# For each axis, the first and the last input pixel that each pixel of a feature map depends on.
_View = tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]


@dataclass(frozen=True)
class Layer:
    """One row of the table.

    Parameters
    ----------
    name : the module's name in the network, empty for what is no module (concatenation, sum).
    what : in words;  shape : (channels, *spatial) after it;  weights : number of them.
    view : receptive field, input pixels along each axis that one pixel of this map depends on (normalisation apart).
    """

    name: str
    what: str
    shape: tuple[int, ...]
    weights: int
    view: tuple[int, ...]


def layers_of(network: nn.Module, channels: int, size: Sequence[int]) -> list[Layer]:
    """Run a network and return its layers in the order in which they ran.

    The input has `channels` and `size` pixels along its axes. The network is moved to the "meta" device and left there,
    without its weights.
    """
    network = network.to("meta").eval()
    layers = _run(network, channels, size)
    if is_unpadded(network):
        return layers
    far = _run(network, channels, [_ENLARGED * n for n in size])
    return [replace(layer, view=other.view) for layer, other in zip(layers, far, strict=True)]


def table(layers: Sequence[Layer], channels: int, size: Sequence[int]) -> list[str]:
    """The layers as a Markdown table, and a line about the whole."""
    axes = "z × y × x" if len(size) == 3 else "y × x"
    rows = [("layer", "what it does", f"feature map (channels × {axes})", "weights", "sees (pixels)")]
    rows.append(("", "the image", _times((channels, *size)), "", _times([1] * len(size))))
    for layer in layers:
        weights = f"{layer.weights:,}" if layer.weights else ""
        rows.append((layer.name, layer.what, _times(layer.shape), weights, _times(layer.view)))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    sides = (str.ljust, str.ljust, str.ljust, str.rjust, str.rjust)
    lines = [
        "| " + " | ".join(side(cell, n) for side, cell, n in zip(sides, row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "| " + " | ".join("-" * n if i < 3 else "-" * (n - 1) + ":" for i, n in enumerate(widths)) + " |"
    count = sum("convolution" in layer.what for layer in layers)
    total = sum(layer.weights for layer in layers)
    return [
        lines[0],
        rule,
        *lines[1:],
        "",
        f"{count} convolutional layers, {total:,} weights. One pixel of the result sees {_times(layers[-1].view)}.",
    ]


def describe(
    name: str, folder_of: Callable[[str], Path], width: int | None = None, size: int | None = None
) -> list[str]:
    """The table of "unet2015", "fcn" or the model in ``folder_of(name)``, line by line.

    Parameters
    ----------
    width, size : channels at the top and side of the image, of "unet2015" and "fcn" alone: 64 and 572 unless given.

    Raises
    ------
    UserError : no such model, it can't be read, or `width` and `size` make no sense for it.
    """
    if name in SLICE_NETWORKS:
        arguments = {"width": width or 64}
        with torch.device("meta"):
            network = build_network(SLICE_NETWORKS[name], arguments, [], 1, 2)
        sides: tuple[int, ...] = (size or LARGEST_TILE,) * 2
        try:
            output_size(sides[0])
        except ValueError as error:
            raise UserError(f"An image of {sides[0]} x {sides[0]} does not fit: {error}.", "Take 572.") from error
        return table(layers_of(network, 1, sides), 1, sides)
    if width or size:
        raise UserError(f"{name} has a width and a size of its own.", "Leave out --width and --size.")
    model = load_model(folder_of(name))
    network = model.networks[0]
    channels = next(p.shape[1] for p in network.parameters() if p.ndim > 1)
    return table(layers_of(network, channels, model.settings.patch_size), channels, model.settings.patch_size)


def _run(network: nn.Module, channels: int, size: Sequence[int]) -> list[Layer]:
    tracer = _Tracer()
    hooks = [
        module.register_forward_hook(tracer.hook(name))
        for name, module in network.named_modules()
        if not any(True for _ in module.children())
    ]
    try:
        with torch.no_grad(), tracer:
            network(tracer.begin(torch.empty(1, channels, *size, device="meta")))
    finally:
        for hook in hooks:
            hook.remove()
    return tracer.layers


class _Tracer(TorchDispatchMode):
    """Follows, through each operation, which input pixels a feature map's pixels depend on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self._cropped = False
        self._views: Any = WeakTensorKeyDictionary()

    def begin(self, image: Tensor) -> Tensor:
        """Note that each pixel of the image sees itself."""
        self._views[image] = tuple((np.arange(n), np.arange(n)) for n in image.shape[2:])
        return image

    def hook(self, name: str) -> Any:
        """A forward hook for the module of this name that writes its row."""

        def write(module: nn.Module, _inputs: object, output: Tensor) -> None:
            weights = sum(p.numel() for p in module.parameters())
            if type(module) in _POINTWISE:
                last = self.layers[-1]
                what = f"{last.what}, {_POINTWISE[type(module)]}"
                self.layers[-1] = replace(last, what=what, weights=last.weights + weights)
            elif not isinstance(module, nn.Identity):
                self._write(name, _in_words(module), output, weights)

        return write

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        first = out[0] if isinstance(out, tuple | list) else out
        inputs = [a for arg in args for a in (arg if isinstance(arg, tuple | list) else [arg])]
        seen = [a for a in inputs if isinstance(a, Tensor) and a in self._views]
        if not seen or not isinstance(first, Tensor):
            return out
        name = func.overloadpacket.__name__
        if name in ("convolution", "slice") or "pool" in name:
            self._views[first] = _moved(self._views[seen[0]], name, args, first)
        else:
            same = [a for a in seen if a.shape[2:] == first.shape[2:]]
            self._views[first] = _together([self._views[a] for a in same or seen])
            if len(same) > 1:
                joined = "crop and concatenate" if self._cropped else "concatenate"
                self._write("", joined if name == "cat" else "sum", first, 0)
        self._cropped = name == "slice"
        return out

    def _write(self, name: str, what: str, output: Tensor, weights: int) -> None:
        view = tuple(int((last - first).max()) + 1 for first, last in self._views[output])
        self.layers.append(Layer(name, what, tuple(output.shape[1:]), weights, view))


def _together(views: Sequence[_View]) -> _View:
    return tuple(
        (np.minimum.reduce([first for first, _ in axis]), np.maximum.reduce([last for _, last in axis]))
        for axis in zip(*views, strict=True)
    )


def _moved(view: _View, name: str, args: Sequence[Any], out: Tensor) -> _View:
    """What the pixels of `out` see after a convolution, a pooling or a crop of a map with this `view`."""
    axes = len(view)
    if name == "slice":
        axis, start, step = (*args[1:3], *args[4:5], 1)[:3]
        new = [(first, last) for first, last in view]
        part = slice(start, None, step)
        new[axis - 2] = tuple(a[part][: out.shape[axis]] for a in view[axis - 2])
        return tuple(new) if axis >= 2 else view
    if name == "convolution":
        kernel, (stride, padding, dilation, transposed) = args[1].shape[2:], args[3:7]
    else:
        kernel, stride = args[1], args[2] if len(args) > 2 and args[2] else args[1]
        padding, dilation, transposed = (args[3] if len(args) > 3 else 0), 1, False
    result = []
    for axis, (first, last) in enumerate(view):
        k, s, p, d = (_at(v, axis, axes) for v in (kernel, stride, padding, dilation))
        pixel = np.arange(out.shape[axis + 2])
        if transposed:
            low, high = -(-(pixel + p - d * (k - 1)) // s), (pixel + p) // s
        else:
            low, high = pixel * s - p, pixel * s - p + d * (k - 1)
        end = len(first) - 1
        result.append((first[low.clip(0, end)], last[high.clip(0, end)]))
    return tuple(result)


def _at(value: Any, axis: int, axes: int) -> int:
    if isinstance(value, int):
        return value
    return int(value[axis]) if len(value) == axes else int(value[0])


def _in_words(module: nn.Module) -> str:
    kernel = getattr(module, "kernel_size", None)
    stride: Any = getattr(module, "stride", 1)
    dim = 3 if type(module).__name__.endswith("3d") else 2
    sizes = kernel if isinstance(kernel, tuple | list) else (kernel,) * dim
    strides = stride if isinstance(stride, tuple | list) else (stride,) * dim
    if isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
        return f"{_times(sizes)} up-convolution, stride {_stride(strides)}"
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        padded = any(module.padding) if isinstance(module.padding, tuple) else module.padding != "valid"
        words = f"{_times(sizes)} convolution"
        words += "" if set(strides) == {1} else f", stride {_stride(strides)}"
        return words + (", padded" if padded else "")
    if kernel is not None:
        kind = "average" if "Avg" in type(module).__name__ else "max"
        return f"{_times(sizes)} {kind} pooling"
    return type(module).__name__


def _stride(strides: Sequence[int]) -> str:
    return str(strides[0]) if len(set(strides)) == 1 else _times(strides)


def _times(numbers: Sequence[Any]) -> str:
    return " × ".join(str(n) for n in numbers)
