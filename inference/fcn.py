"""A fully-convolutional network without skip connections: what a U-Net is without its U.

After J. Long, E. Shelhamer, T. Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015,
stripped to the idea: strided convolutions down to a bottleneck, transposed convolutions up again. Levels, channels,
unpadded convolutions, sizes and dropout are those of `contourdesk.inference.unet2015`, so that the two can be compared.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from contourdesk.inference.unet2015 import start_as_he, two_convolutions


class FCN(nn.Module):
    """Down by strided convolutions, through a bottleneck, up by transposed convolutions.

    All that the result knows of the image has to pass the bottleneck, a map of one value in 16 x 16 pixels.

    Parameters
    ----------
    input_channels, num_classes, width, dropout : as in `UNet2015`.
    """

    def __init__(self, input_channels: int = 1, num_classes: int = 2, width: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(5)]
        self.encode = nn.ModuleList(two_convolutions(a, b) for a, b in pairwise([input_channels, *channels]))
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, c, 2, stride=2), nn.ReLU(inplace=True)) for c in channels[:-1]
        )
        self.dropout = nn.Dropout(dropout)
        channels.reverse()
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairwise(channels))
        self.decode = nn.ModuleList(two_convolutions(b, b) for b in channels[1:])
        self.classify = nn.Conv2d(width, num_classes, 1)
        start_as_he(self)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, channels, y, x) to logits (batch, classes, y - 184, x - 184); sides 188, 204, …, 572, and so on."""
        x: Tensor = image
        for level, convolutions in enumerate(self.encode):
            if level > 0:
                x = self.down[level - 1](x)
            x = convolutions(x)
            if level >= 3:
                x = self.dropout(x)
        for up, convolutions in zip(self.up, self.decode, strict=True):
            x = convolutions(up(x))
        logits: Tensor = self.classify(x)
        return logits
