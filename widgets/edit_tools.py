"""The editing tools: what the left mouse button does, and the brush."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QAction, QFont, QKeyEvent, QKeySequence
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

from contourdesk.widgets.language import tr
from contourdesk.widgets.limits_box import LimitsBox
from contourdesk.widgets.ortho_view import OrthoView
from contourdesk.widgets.theme import em, icon, icon_size, named, set_role
from contourdesk.widgets.tools import TOOLS
from contourdesk.widgets.view_state import BRUSH_RANGE_MM

_SLIDER_MAX_MM = 50  # the spin box goes further


_COLUMNS = 4


class EditTools(QWidget):
    """Buttons for the tools of an `OrthoView`, the brush where the tool has one, and the tool's own options."""

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
        layout.addLayout(self._tool_grid())
        layout.addWidget(self._brush_box())
        self._options: dict[str, QWidget] = {}
        for tool in view.tools.values():
            options = tool.options()
            if options is not None:
                self._options[tool.id] = options
                layout.addWidget(options)
        widest = max(options.minimumSizeHint().width() for options in self._options.values())
        self.setMinimumWidth(widest)  # or the images would move when another tool is taken in hand
        self.limits = LimitsBox(view)
        layout.addWidget(self.hint)
        layout.addWidget(self.limits)
        view.tool_changed.connect(self._show_tool)
        view.brush_changed.connect(self._show_size)
        view.brush_3d_changed.connect(self._show_shape)
        self._show_tool(view.tool)
        self._show_size(view.brush_mm)
        self._show_shape(view.brush_3d)

    def _tool_grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(2)
        group = self._group = QButtonGroup(self)
        small = QFont(self.font())
        small.setPointSizeF(small.pointSizeF() * 0.88)
        for n, tool in enumerate(self._view.tools[kind.id] for kind in TOOLS):
            button = QToolButton()
            tip = tr(tool.tip)
            named(button, f"tool_{tool.id}", tip, f"{tip} ({tool.shortcut})" if tool.shortcut else tip)
            button.setText(tr(tool.text))
            button.setFont(small)
            button.setIcon(icon(tool.icon))
            button.setIconSize(icon_size(self, 1.3))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            set_role(button, "tool")
            button.clicked.connect(lambda _=False, name=tool.id: self._view.set_tool(name))
            group.addButton(button)
            grid.addWidget(button, n // _COLUMNS, n % _COLUMNS)
            self._buttons[tool.id] = button
        for column in range(_COLUMNS):
            grid.setColumnStretch(column, 1)
        return grid

    def _brush_box(self) -> QWidget:
        self._slider = QSlider(Qt.Orientation.Horizontal)
        named(
            self._slider, "brush_slider", tr("Brush diameter"), tr("Brush diameter; [ and ] or Shift+wheel change it")
        )
        self._slider.setRange(round(BRUSH_RANGE_MM[0]), _SLIDER_MAX_MM)
        self._slider.valueChanged.connect(lambda mm: self._view.set_brush_mm(mm))
        self._spin = QDoubleSpinBox()
        named(
            self._spin, "brush_size", tr("Brush diameter in mm"), tr("Brush diameter; [ and ] or Shift+wheel change it")
        )
        self._spin.setRange(*BRUSH_RANGE_MM)
        self._spin.setDecimals(1)
        self._spin.setSuffix(" mm")
        self._spin.setKeyboardTracking(False)
        self._spin.valueChanged.connect(self._view.set_brush_mm)
        box = self._brush = QWidget()
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(em(self, 0.5))
        grid.addWidget(QLabel(tr("Brush")), 0, 0)
        grid.addWidget(self._slider, 0, 1)
        grid.addWidget(self._spin, 0, 2)
        self._shape = QLabel(tr("Shape"))
        grid.addWidget(self._shape, 1, 0)
        grid.addLayout(self._shape_row(), 1, 1, 1, 2)
        grid.setColumnStretch(1, 1)
        return box

    def _shape_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(2)
        group = QButtonGroup(self)
        self._shapes: dict[bool, QToolButton] = {}
        for ball, text, name, tip in (
            (False, tr("2D disc"), "brush_2d", tr("Paint on the slice alone (D switches)")),
            (True, tr("3D ball"), "brush_3d", tr("Paint through the neighbouring slices too (D switches)")),
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

    def show_keys(self, made: Mapping[str, QAction]) -> None:
        """Say in the tool tips which keys the tools have now."""
        for name, button in self._buttons.items():
            key = made[f"tool_{name}"].shortcut().toString(QKeySequence.SequenceFormat.NativeText)
            tip = tr(self._view.tools[name].tip)
            button.setToolTip(f"{tip} ({key})" if key else tip)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter in a field gives the keyboard back to the images, where single keys are commands."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._view.setFocus()
        else:
            super().keyPressEvent(event)

    def _show_tool(self, name: str) -> None:
        tool = self._view.tools[name]
        self._group.setExclusive(False)  # a measuring tool has no button here
        for tool_id, button in self._buttons.items():
            button.setChecked(tool_id == name)
        self._group.setExclusive(True)
        self.hint.setText(tr(tool.hint))
        self._brush.setVisible(tool.brush)
        for widget in (self._shape, *self._shapes.values()):
            widget.setVisible(tool.ball)
        for tool_id, options in self._options.items():
            options.setVisible(tool_id == name)

    def _show_size(self, mm: float) -> None:
        with QSignalBlocker(self._slider), QSignalBlocker(self._spin):
            self._slider.setValue(round(mm))
            self._spin.setValue(mm)

    def _show_shape(self, ball: bool) -> None:
        self._shapes[ball].setChecked(True)
