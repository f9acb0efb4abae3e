"""The program's icon in the forms that systems want, from resources/icons/contourdesk.svg.

    python packaging/make_icons.py FOLDER

Writes contourdesk.png (512 pixels), contourdesk.ico (Windows) and contourdesk.icns (macOS).
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from PIL import Image

SOURCE = Path(__file__).resolve().parents[1] / "resources" / "icons" / "contourdesk.svg"
ICO_SIZES = (16, 20, 24, 32, 40, 48, 64, 128, 256)
MACOS_MARGIN = 0.1  # icons there stand in a frame of air


def draw(size: int, margin: float = 0.0) -> Image.Image:
    """The icon with `size` pixels a side, of which `margin` on each side is left free; drawn anew for each size."""
    from PySide6.QtCore import QBuffer, QRectF
    from PySide6.QtGui import QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    image = QImage(size, size, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    free = size * margin
    QSvgRenderer(str(SOURCE)).render(painter, QRectF(free, free, size - 2 * free, size - 2 * free))
    painter.end()
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return Image.open(io.BytesIO(buffer.data().data())).convert("RGBA")


def make_icons(folder: Path) -> None:
    """Write the three files into `folder`."""
    from PySide6.QtGui import QGuiApplication

    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    app = QGuiApplication.instance() or QGuiApplication([])
    folder.mkdir(parents=True, exist_ok=True)
    draw(512).save(folder / "contourdesk.png")
    drawn = [draw(size) for size in ICO_SIZES]
    drawn[-1].save(folder / "contourdesk.ico", sizes=[(n, n) for n in ICO_SIZES], append_images=drawn[:-1])
    sizes = [draw(size, MACOS_MARGIN) for size in (1024, 512, 256, 128, 64, 32, 16)]
    sizes[0].save(folder / "contourdesk.icns", append_images=sizes[1:])
    del app


if __name__ == "__main__":
    make_icons(Path(sys.argv[1]))
