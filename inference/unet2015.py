"""The U-Net of 2015, as its paper draws it.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
https://arxiv.org/abs/1505.04597. With 64 channels at the top (`width`), 572 x 572 pixels go in and 388 x 388 come out.
How an image of any size gets through it is in `contourdesk.inference.overlap_tile`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class UNet2015(nn.Module):
    """A contracting path that finds out what is there, an expanding path that finds out where.

    Four times down and four times up again. On the way up, each level is given the feature map that the way down had
    at this size (the skip connection), because what pooling threw away can't be had from below.

    Parameters
    ----------
    input_channels, num_classes : channels of the image; channels of the result, logits, background among them.
    width : channels of the first level; they double four times. 64 in the paper.
    dropout : probability, at the end of the contracting path. The paper gives no number and no layer; 0.5 on the last
        two levels is what its authors published as their Caffe network.
    """

    def __init__(self, input_channels: int = 1, num_classes: int = 2, width: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(5)]  # 64, 128, 256, 512, 1024
        self.contract = nn.ModuleList(two_convolutions(a, b) for a, b in pairwise([input_channels, *channels]))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        channels.reverse()  # 1024, 512, 256, 128, 64
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairwise(channels))
        self.expand = nn.ModuleList(two_convolutions(2 * b, b) for b in channels[1:])
        self.classify = nn.Conv2d(width, num_classes, 1)
        start_as_he(self)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, channels, y, x) to logits (batch, classes, y - 184, x - 184); sides 188, 204, …, 572, and so on."""
        x: Tensor = image
        skips = []
        for level, convolutions in enumerate(self.contract):
            if level > 0:
                x = self.pool(x)
            x = convolutions(x)
            if level >= 3:
                x = self.dropout(x)
            skips.append(x)
        skips.pop()  # the lowest level goes up itself
        for up, convolutions in zip(self.up, self.expand, strict=True):
            x = up(x)
            x = convolutions(torch.cat([crop(skips.pop(), x.shape[-2:]), x], dim=1))
        logits: Tensor = self.classify(x)
        return logits


def two_convolutions(channels_in: int, channels_out: int) -> nn.Sequential:
    """Two unpadded 3 x 3 convolutions, each with a ReLU: a feature map loses two pixels at every side."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels_out, channels_out, 3),
        nn.ReLU(inplace=True),
    )


def crop(features: Tensor, size: tuple[int, ...]) -> Tensor:
    """The middle (…, *size) of (…, y, x)."""
    top, left = ((have - want) // 2 for have, want in zip(features.shape[-2:], size, strict=True))
    return features[..., top : top + size[0], left : left + size[1]]


def start_as_he(network: nn.Module) -> None:
    """Draw weights of deviation sqrt(2 / N), N being the number of values that a neuron adds up; biases are 0.

    With this, feature maps have about unit variance at the start, however deep the network (He et al. 2015).
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            y, x = layer.kernel_size
            if isinstance(layer, nn.ConvTranspose2d):  # kernel and stride are equal: one input pixel for each neuron
                y = x = 1
            nn.init.normal_(layer.weight, std=(2 / (layer.in_channels * y * x)) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
