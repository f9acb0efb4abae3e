"""The look: one style sheet in dark or light colours, icons, and a text size that fits the screen."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QIcon, QPalette, QPixmap, QScreen
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFormLayout,
    QLabel,
    QStyleFactory,
    QTableView,
    QWidget,
)

RESOURCES = Path(str(files("contourdesk.resources")))
_BASE_POINTS = 10.0
_ICON_INKS = {  # what the colours of the icons' files are called in the table of colours
    "#c9d1db": "handle", "#a8b1bd": "text-soft", "#929ca9": "text-muted", "#5d6672": "text-off", "#6fc596": "good",
    "#e3b45c": "warning", "#f0a29c": "bad", "#e58b86": "bad", "#4d9fd6": "focus",
}  # fmt: skip


# Takes back what napari's style sheet says of parts that ours leaves as they are.
_AMONG_OTHERS = "QRadioButton::indicator::checked { image: none; padding: 0; width: 1em; height: 1em; }"


class _Look:
    """What `apply_theme` chose: "dark" or "light", and the folder of the icons made for it."""

    theme = "dark"
    icons: tempfile.TemporaryDirectory[str] | None = None


def text_points(screen: QScreen | None) -> float:
    """Text size in points: 10, less on a small screen, more on a 4K screen whose desktop does no scaling of its own."""
    if screen is None:
        return _BASE_POINTS
    height = screen.geometry().height()  # as scaled: 720 for 1080 lines at 150 %
    if height < 800:
        return _BASE_POINTS - 1
    if screen.devicePixelRatio() > 1 or screen.logicalDotsPerInch() > 110:
        return _BASE_POINTS
    return _BASE_POINTS * min(max(height / 1300, 1.0), 1.6)


def apply_theme(app: QApplication, theme: str = "dark") -> None:
    """Give the whole application its style: "dark", "light", or "system" for what the desktop has.

    Before the first window, or later: then what is on the screen changes with it.
    """
    if theme == "system":
        theme = "light" if app.styleHints().colorScheme() == Qt.ColorScheme.Light else "dark"
    before = _choose(theme)
    app.setStyle(QStyleFactory.create("Fusion"))
    font = QFont(app.font())
    font.setPointSizeF(text_points(app.primaryScreen()))
    app.setFont(font)
    app.setPalette(_palette())
    app.setStyleSheet(_style_sheet())
    app.setWindowIcon(icon("contourdesk"))
    _put_icons(app.allWidgets(), before)


def dress(widgets: Sequence[QWidget], theme: str) -> None:
    """Give widgets and all in them our style, "dark" or "light", in a window of another program."""
    before = _choose(theme)
    for widget in widgets:
        widget.setStyleSheet(_style_sheet() + _AMONG_OTHERS)
        _put_icons([widget, *widget.findChildren(QWidget)], before)


def _choose(theme: str) -> dict[int, str]:
    """Make a theme the one that colours and icons come from; returns the names of the icons that were in use."""
    before = {icon(name).cacheKey(): name for name in _used}
    _Look.theme = theme
    icon.cache_clear()
    return before


def _style_sheet() -> str:
    text = (RESOURCES / "styles" / "style.qss").read_text(encoding="utf-8")
    text = re.sub(r"@icons/([\w-]+)\.svg", lambda found: _icon_file(found[1]).as_posix(), text)
    return re.sub(r"@([\w-]+)", lambda found: colours()[found[1]], text)


def _put_icons(widgets: Iterable[QWidget], before: Mapping[int, str]) -> None:
    for widget in widgets:
        for part in (widget, *widget.actions()):
            held = getattr(part, "icon", None)  # buttons and commands
            if held is not None and held().cacheKey() in before:
                part.setIcon(icon(before[held().cacheKey()]))


def colours() -> dict[str, str]:
    """The theme's colours by name."""
    return _table()[_Look.theme]


def ink(name: str) -> QColor:
    """One of the theme's colours."""
    return QColor(colours()[name])


@cache
def _table() -> dict[str, dict[str, str]]:
    with (RESOURCES / "styles" / "colours.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {theme: {row["name"]: row[theme] for row in rows} for theme in ("dark", "light")}


def _palette() -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    inks = {
        role.Window: "window", role.WindowText: "text", role.Base: "field", role.AlternateBase: "list-other",
        role.Text: "text", role.Button: "button", role.ButtonText: "text", role.BrightText: "text-strong",
        role.Highlight: "accent", role.HighlightedText: "on-accent", role.ToolTipBase: "tip",
        role.ToolTipText: "text", role.PlaceholderText: "text-muted", role.Link: "focus",
    }  # fmt: skip
    for which, name in inks.items():
        palette.setColor(which, ink(name))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, ink("text-off"))
    return palette


_used: set[str] = set()


@cache
def icon(name: str) -> QIcon:
    """The icon ``resources/icons/<name>.svg`` in the theme's colours."""
    _used.add(name)
    return QIcon(str(_icon_file(name)))


def _icon_file(name: str) -> Path:
    """The file of an icon; for the light theme a copy in other colours, made when it is first asked for."""
    shipped = RESOURCES / "icons" / f"{name}.svg"
    if _Look.theme == "dark" or name == "contourdesk":
        return shipped
    if _Look.icons is None:
        _Look.icons = tempfile.TemporaryDirectory(prefix="contourdesk-icons-")
    made = Path(_Look.icons.name) / f"{name}.svg"
    if not made.exists():
        text = shipped.read_text("utf-8")
        made.write_text(
            re.sub(r"#[0-9a-f]{6}", lambda c: colours()[_ICON_INKS[c[0]]] if c[0] in _ICON_INKS else c[0], text),
            "utf-8",
        )
    return made


class IconLabel(QLabel):
    """Shows an icon, `times` the height of its text, and follows the theme."""

    _name = ""

    def __init__(self, name: str, times: float, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._times = name, times
        self._draw()

    def _draw(self) -> None:
        self.setPixmap(icon(self._name).pixmap(icon_size(self, self._times), self.devicePixelRatioF()))

    def changeEvent(self, event: QEvent) -> None:
        """Draw anew with another palette."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._name:
            self._draw()


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


def heading(text: str) -> QLabel:
    """A label that stands over a part of a panel."""
    label = QLabel(text)
    set_role(label, "heading")
    return label


def plain_table(table: QTableView, row_em: float) -> None:
    """Make a table a list to choose from: whole rows, one at a time, nothing to edit; `row_em` high in text sizes."""
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setAlternatingRowColors(True)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(em(table, row_em))
    table.horizontalHeader().setHighlightSections(False)
    table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)


def level_labels(form: QFormLayout) -> None:
    """Let the labels of a form stand level with the middle of their fields, whatever these are made of."""
    for row in range(form.rowCount()):
        label = form.itemAt(row, QFormLayout.ItemRole.LabelRole)
        field = form.itemAt(row, QFormLayout.ItemRole.FieldRole)
        if label is not None and field is not None and label.widget() is not None:
            label.widget().setMinimumHeight(field.sizeHint().height())


def named(widget: QWidget, name: str, accessible: str = "", tip: str = "") -> QWidget:
    """Set object name, accessible name and tool tip of a widget and return it."""
    widget.setObjectName(name)
    if accessible:
        widget.setAccessibleName(accessible)
    if tip:
        widget.setToolTip(tip)
    return widget
