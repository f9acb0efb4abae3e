"""The same networks, quicker on a processor: PyTorch's own choices of algorithm are not its best for one window.

- For a single small window PyTorch unfolds it for a plain matrix product; oneDNN's convolution is faster and needs no
  copies, so it is called by name.
- Instance normalisation and the leaky ReLU after it pass over a map in memory six times. Done for a few channels at a
  time, and in place, they find their data in the processor's cache.
- A transposed convolution whose kernel is its stride is one matrix product; it is written straight into the map that
  it is joined with.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

# Channels of a map are worked on in groups of so many bytes: they stay in the cache, and are not so few that the
# threads spend their time waiting for each other.
_GROUP_BYTES = 4 * 2**20


@contextlib.contextmanager
def quick(networks: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """While open, the networks take the quicker ways on a processor; their results differ in rounding only."""
    changed: list[nn.Module] = []
    if device.type == "cpu" and torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64"):
        for network in networks:
            for module in network.modules():
                way = _way(module)
                if way is not None and "forward" not in vars(module):
                    module.forward = partial(way, module)
                    changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _way(module: nn.Module) -> Any:
    if isinstance(module, nn.Conv3d | nn.Conv2d) and module.padding_mode == "zeros" and module.padding != "same":
        return _convolve
    name = type(module).__name__
    if name == "ConvDropoutNormReLU" and _is_plain(module):
        return _block
    ups: Any = getattr(module, "transpconvs", ())
    if name == "UNetDecoder" and all(_is_upsampling(m) for m in ups):
        return _decode
    return None


def _is_plain(block: Any) -> bool:
    """Whether a block is a convolution, instance normalisation and leaky ReLU (or none), in this order."""
    parts = list(block.all_modules)
    kinds = (nn.Conv2d | nn.Conv3d, nn.InstanceNorm2d | nn.InstanceNorm3d, nn.LeakyReLU)
    return (
        2 <= len(parts) <= 3
        and all(isinstance(part, kind) for part, kind in zip(parts, kinds, strict=False))
        and not parts[1].track_running_stats
    )


def _is_upsampling(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d)
        and module.kernel_size == module.stride
        and module.groups == 1
        and not any(module.padding)
        and not any(module.output_padding)
        and set(module.dilation) == {1}
    )


def _convolve(conv: Any, x: Tensor) -> Tensor:
    if x.dtype != torch.float32 or not isinstance(conv.padding, tuple) or max(conv.kernel_size) == 1:
        return type(conv).forward(conv, x)  # type: ignore[no-any-return]
    return torch.mkldnn_convolution(x, conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups)


def _block(block: Any, x: Tensor) -> Tensor:
    parts = block.all_modules
    out: Tensor = parts[0](x)
    if not out.is_contiguous():
        out = out.contiguous()
    norm = parts[1]
    slope = parts[2].negative_slope if len(parts) == 3 else 1.0
    for one in out:  # each window of a batch
        _normalise(one.flatten(1), norm.weight, norm.bias, norm.eps, slope)
    return out


def _normalise(maps: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, slope: float) -> None:
    """Instance normalisation and leaky ReLU of (channels, voxels), in place."""
    step = max(1, _GROUP_BYTES // (4 * maps.shape[1]))
    for start in range(0, len(maps), step):
        part = slice(start, start + step)
        _normalise_part(
            maps[part], None if weight is None else weight[part], None if bias is None else bias[part], eps, slope
        )


def _normalise_part(maps: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, slope: float) -> None:
    maps.sub_(maps.mean(1, keepdim=True))
    variance = torch.bmm(maps[:, None], maps[:, :, None])[:, :, 0].div_(maps.shape[1])
    scale = (variance + eps).rsqrt_()
    if weight is not None:
        scale *= weight[:, None]
    if bias is None:
        maps.mul_(scale)
    else:
        torch.addcmul(bias[:, None], maps, scale, out=maps)
    if slope != 1.0:
        nn.functional.leaky_relu_(maps, slope)


def _decode(decoder: Any, skips: list[Tensor]) -> Tensor:
    """``UNetDecoder.forward`` without deep supervision."""
    if decoder.deep_supervision:
        return type(decoder).forward(decoder, skips)  # type: ignore[no-any-return]
    x = skips.pop()
    for up, stage in zip(decoder.transpconvs, decoder.stages, strict=True):
        skip = skips.pop()  # the last one that holds it is `joined`
        channels = up.out_channels
        joined = torch.empty((skip.shape[0], channels + skip.shape[1], *skip.shape[2:]), dtype=skip.dtype)
        joined[:, channels:] = skip
        del skip
        _upsample(up, x, joined[:, :channels])
        x = stage(joined)
        del joined
    out: Tensor = decoder.seg_layers[-1](x)
    return out


def _upsample(up: Any, x: Tensor, out: Tensor) -> None:
    """Transposed convolution with kernel = stride, into `out`: a matrix product, and its voxels put in their places."""
    kernel = up.kernel_size
    weight = up.weight.flatten(1).T  # (out channels x kernel, in channels)
    for one, target in zip(x, out, strict=True):
        product = weight @ one.flatten(1)
        # (channels, k, k, k, z, y, x) to (channels, z, k, y, k, x, k)
        blocks = product.view(up.out_channels, *kernel, *one.shape[1:])
        n = len(kernel)
        blocks = blocks.permute(0, *(a for i in range(n) for a in (1 + n + i, 1 + i)))
        shape = [v for size, k in zip(one.shape[1:], kernel, strict=True) for v in (size, k)]
        view = target.view(up.out_channels, *shape)
        view.copy_(blocks)
        if up.bias is not None:
            view += up.bias.view(-1, *([1] * (2 * n)))
