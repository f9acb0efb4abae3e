"""The editing tools: what the left mouse button does, and the brush."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.widgets.ortho_view import OrthoView
from contourdesk.widgets.theme import em, icon, icon_size, named, set_role
from contourdesk.widgets.view_state import BRUSH_RANGE_MM

_SLIDER_MAX_MM = 50  # the spin box goes further


@dataclass(frozen=True)
class Tool:
    """A tool's button: `shortcut` is the key that the main window gives it."""

    id: str
    text: str
    shortcut: str
    tip: str
    hint: str


TOOLS = (
    Tool("navigate", "Navigate", "N", "Move the crosshair", "Click or drag to move the crosshair. Shift+drag pans."),
    Tool("paint", "Paint", "B", "Add to the structure with the brush", "Drag to add. Hold Shift to erase."),
    Tool("erase", "Erase", "E", "Take away with the brush", "Drag to take away. Hold Shift to add."),
    Tool(
        "polygon", "Polygon", "G", "Add the inside of a polygon",
        "Click the corners. Double click or Enter adds the inside, with Shift takes it away. Esc gives up.",
    ),
    Tool(
        "fill", "Fill", "F", "Fill a closed outline",
        "Click inside a closed outline to fill it on this slice. Shift+click removes the part under the mouse.",
    ),
)  # fmt: skip


class EditTools(QWidget):
    """Buttons for the tools of an `OrthoView`, brush size in mm, and disc or ball."""

    def __init__(self, view: OrthoView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("edit_tools")
        self._view = view
        self._buttons: dict[str, QToolButton] = {}
        self.hint = QLabel()
        named(self.hint, "tool_hint")
        set_role(self.hint, "muted")
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.hint.setMinimumHeight(em(self, 3.2))  # three lines, so that nothing jumps
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(em(self, 0.4))
        layout.addLayout(self._tool_row())
        layout.addLayout(self._brush_grid())
        layout.addWidget(self.hint)
        view.tool_changed.connect(self._show_tool)
        view.brush_changed.connect(self._show_size)
        view.brush_3d_changed.connect(self._show_shape)
        self._show_tool(view.tool)
        self._show_size(view.brush_mm)
        self._show_shape(view.brush_3d)

    def _tool_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(2)
        group = QButtonGroup(self)
        for tool in TOOLS:
            button = QToolButton()
            named(button, f"tool_{tool.id}", tool.tip, f"{tool.tip} ({tool.shortcut})")
            button.setText(tool.text)
            button.setIcon(icon(f"tool-{tool.id}"))
            button.setIconSize(icon_size(self, 1.4))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, name=tool.id: self._view.set_tool(name))
            group.addButton(button)
            row.addWidget(button)
            self._buttons[tool.id] = button
        return row

    def _brush_grid(self) -> QGridLayout:
        self._slider = QSlider(Qt.Orientation.Horizontal)
        named(self._slider, "brush_slider", "Brush diameter", "Brush diameter; [ and ] or Shift+wheel change it")
        self._slider.setRange(round(BRUSH_RANGE_MM[0]), _SLIDER_MAX_MM)
        self._slider.valueChanged.connect(lambda mm: self._view.set_brush_mm(mm))
        self._spin = QDoubleSpinBox()
        named(self._spin, "brush_size", "Brush diameter in mm", "Brush diameter; [ and ] or Shift+wheel change it")
        self._spin.setRange(*BRUSH_RANGE_MM)
        self._spin.setDecimals(1)
        self._spin.setSuffix(" mm")
        self._spin.setKeyboardTracking(False)
        self._spin.valueChanged.connect(self._view.set_brush_mm)
        grid = QGridLayout()
        grid.setHorizontalSpacing(em(self, 0.5))
        grid.addWidget(QLabel("Brush"), 0, 0)
        grid.addWidget(self._slider, 0, 1)
        grid.addWidget(self._spin, 0, 2)
        grid.addWidget(QLabel("Shape"), 1, 0)
        grid.addLayout(self._shape_row(), 1, 1, 1, 2)
        grid.setColumnStretch(1, 1)
        return grid

    def _shape_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(2)
        group = QButtonGroup(self)
        self._shapes: dict[bool, QToolButton] = {}
        for ball, text, name, tip in (
            (False, "2D disc", "brush_2d", "Paint on the slice alone (D switches)"),
            (True, "3D ball", "brush_3d", "Paint through the neighbouring slices too (D switches)"),
        ):
            button = QToolButton()
            named(button, name, tip, tip)
            button.setText(text)
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, ball=ball: self._view.set_brush_3d(ball))
            group.addButton(button)
            row.addWidget(button)
            self._shapes[ball] = button
        return row

    def _show_tool(self, name: str) -> None:
        self._buttons[name].setChecked(True)
        self.hint.setText(next(tool.hint for tool in TOOLS if tool.id == name))

    def _show_size(self, mm: float) -> None:
        with QSignalBlocker(self._slider), QSignalBlocker(self._spin):
            self._slider.setValue(round(mm))
            self._spin.setValue(mm)

    def _show_shape(self, ball: bool) -> None:
        self._shapes[ball].setChecked(True)
