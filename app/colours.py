"""Colours of structures nobody chose one for, and DICOM's recommended display colours.

These are CIELab scaled to 16 bits, as pixelmed, highdicom and dcmqi turn it into RGB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contourdesk.app.structures import Colour

# Told apart on grey CT and for the common kinds of colour blindness; used where nobody asked for a colour.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (120, 120, 255),
    (170, 220, 110),
    (255, 150, 150),
    (0, 200, 200),
    (190, 140, 90),
    (200, 160, 255),
)

_RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.9505, 1.0, 1.0889])
_KNEE = 6 / 29


def lab_to_rgb(value: Sequence[int]) -> Colour:
    """RGB (0 to 255) of a Recommended Display CIELab Value; colours that no screen has are clipped.

    Raises
    ------
    ValueError : not three numbers of 16 bits.
    """
    if len(value) != 3 or any(not 0 <= v <= 0xFFFF for v in value):
        raise ValueError(f"not a CIELab value: {value}")
    lightness = value[0] * 100 / 0xFFFF
    a, b = (v * 255 / 0xFFFF - 128 for v in value[1:])
    middle = (lightness + 16) / 116
    ratio = np.array([middle + a / 500, middle, middle - b / 200])
    xyz = np.where(ratio > _KNEE, ratio**3, 3 * _KNEE**2 * (ratio - 4 / 29)) * _WHITE
    linear = np.clip(np.linalg.solve(_RGB_TO_XYZ, xyz), 0, 1)
    rgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    red, green, blue = (round(float(v) * 255) for v in rgb)
    return red, green, blue
