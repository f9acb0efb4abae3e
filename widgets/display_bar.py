"""The part of the toolbar that says how the images and masks look: window preset, outline or fill, opacity."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QSlider, QWidget

from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role
from contourdesk.widgets.window_presets import WindowPreset

MODES = (("Outline", "outline"), ("Fill", "fill"), ("Outline and fill", "both"))


class DisplayBar(QWidget):
    """Three controls in a row."""

    window_chosen = Signal(float, float)  # centre, width
    preset_chosen = Signal(str)
    mode_chosen = Signal(str)
    opacity_chosen = Signal(float)  # 0 to 1

    def __init__(self, mode: str, opacity: float, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("display_bar")
        self._presets: tuple[WindowPreset, ...] = ()
        self.preset = QComboBox()
        named(self.preset, "window_preset", tr("Display window of the image"), tr("Display window (keys 1 to 5)"))
        self.preset.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.mode = QComboBox()
        named(self.mode, "display_mode", tr("How masks are drawn"), tr("How masks are drawn (O)"))
        for text, value in MODES:
            self.mode.addItem(tr(text), value)
        self.mode.setCurrentIndex(max(self.mode.findData(mode), 0))
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        named(self.opacity, "opacity", tr("Opacity of the masks in per cent"), tr("Opacity of the masks"))
        self.opacity.setRange(0, 100)
        self.opacity.setValue(round(opacity * 100))
        self.opacity.setFixedWidth(em(self, 6))
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(em(self, 0.4))
        for text, widget in ((tr("Window"), self.preset), (tr("Masks"), self.mode), (tr("Opacity"), self.opacity)):
            label = QLabel(text)
            label.setBuddy(widget)
            set_role(label, "muted")
            row.addWidget(label)
            row.addWidget(widget)
            row.addSpacing(em(self, 0.5))
        self.preset.activated.connect(self.choose)
        self.mode.currentIndexChanged.connect(lambda _: self.mode_chosen.emit(self.mode.currentData()))
        self.opacity.valueChanged.connect(lambda value: self.opacity_chosen.emit(value / 100))

    def set_presets(self, presets: Sequence[WindowPreset], wanted: str = "") -> None:
        """Offer these presets; the one called `wanted`, else the first, is chosen and announced."""
        self._presets = tuple(presets)
        with QSignalBlocker(self.preset):
            self.preset.clear()
            for preset in presets:
                self.preset.addItem(f"{tr(preset.name)}  {preset.centre:g} / {preset.width:g}")
        names = [p.name.casefold() for p in presets]
        if names:
            self.choose(names.index(wanted.casefold()) if wanted.casefold() in names else 0)

    def choose(self, row: int) -> None:
        """Choose the preset in this row."""
        if 0 <= row < len(self._presets):
            preset = self._presets[row]
            self.preset.setCurrentIndex(row)
            self.window_chosen.emit(preset.centre, preset.width)
            self.preset_chosen.emit(preset.name)

    def show_window(self, centre: float, width: float) -> None:
        """Follow a window that was set with the mouse: its preset is named, or none."""
        match = (i for i, p in enumerate(self._presets) if (p.centre, p.width) == (centre, width))
        with QSignalBlocker(self.preset):
            self.preset.setPlaceholderText(f"{centre:.0f} / {width:.0f}")
            self.preset.setCurrentIndex(next(match, -1))

    def choose_key(self, key: str) -> None:
        """Choose the preset with this key."""
        self.choose(next((i for i, p in enumerate(self._presets) if p.key == key), -1))

    def next_mode(self) -> None:
        """Outline, fill, both, and round again."""
        self.mode.setCurrentIndex((self.mode.currentIndex() + 1) % self.mode.count())
