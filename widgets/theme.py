"""The look: one dark style sheet, icons, and a text size that fits the screen."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor, QFont, QFontMetrics, QIcon, QPalette, QPixmap, QScreen
from qtpy.QtWidgets import QApplication, QStyleFactory, QWidget

RESOURCES = Path(str(files("contourdesk.resources")))
_BASE_POINTS = 10.0


def text_points(screen: QScreen | None) -> float:
    """Text size in points: 10, and more on a 4K screen whose desktop does no scaling of its own."""
    if screen is None or screen.devicePixelRatio() > 1 or screen.logicalDotsPerInch() > 110:
        return _BASE_POINTS
    height = screen.geometry().height()
    if height < 800:
        return _BASE_POINTS - 1
    return _BASE_POINTS * min(max(height / 1300, 1.0), 1.6)


def apply_theme(app: QApplication) -> None:
    """Give the whole application its style; once, before the first window."""
    app.setStyle(QStyleFactory.create("Fusion"))
    font = QFont(app.font())
    font.setPointSizeF(text_points(app.primaryScreen()))
    app.setFont(font)
    app.setPalette(_palette())
    text = (RESOURCES / "styles" / "dark.qss").read_text(encoding="utf-8")
    app.setStyleSheet(text.replace("@icons", (RESOURCES / "icons").as_posix()))
    app.setWindowIcon(icon("contourdesk"))


def _palette() -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    colours = {
        role.Window: "#1d2025", role.WindowText: "#d9dee5", role.Base: "#15171b", role.AlternateBase: "#1c2025",
        role.Text: "#d9dee5", role.Button: "#2c3139", role.ButtonText: "#d9dee5", role.BrightText: "#ffffff",
        role.Highlight: "#2f6f9f", role.HighlightedText: "#ffffff", role.ToolTipBase: "#2c3139",
        role.ToolTipText: "#e6eaf0", role.PlaceholderText: "#7d8794", role.Link: "#6cb4e6",
    }  # fmt: skip
    for which, colour in colours.items():
        palette.setColor(which, QColor(colour))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, QColor("#6b7480"))
    return palette


@cache
def icon(name: str) -> QIcon:
    """The icon ``resources/icons/<name>.svg``."""
    return QIcon(str(RESOURCES / "icons" / f"{name}.svg"))


def em(widget: QWidget, times: float = 1.0) -> int:
    """`times` the height of the widget's text, in pixels."""
    return round(QFontMetrics(widget.font()).height() * times)


def icon_size(widget: QWidget, times: float = 1.15) -> QSize:
    """Size of an icon that stands beside the widget's text."""
    return QSize(em(widget, times), em(widget, times))


def swatch(colour: tuple[int, int, int], size: int) -> QIcon:
    """A square of one colour."""
    pixmap = QPixmap(size, size)
    pixmap.fill(QColor(*colour))
    return QIcon(pixmap)


def set_role(widget: QWidget, role: str) -> None:
    """Give a widget one of the style sheet's roles (primary, muted, heading, ...)."""
    widget.setProperty("role", role)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def named(widget: QWidget, name: str, accessible: str = "", tip: str = "") -> QWidget:
    """Set object name, accessible name and tool tip of a widget and return it."""
    widget.setObjectName(name)
    if accessible:
        widget.setAccessibleName(accessible)
    if tip:
        widget.setToolTip(tip)
    return widget
