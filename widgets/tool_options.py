"""Controls of tools that propose: numbers and choices, what is proposed, Apply and Drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role
from contourdesk.widgets.tool_proposing import ProposingTool


class ToolOptions(QWidget):
    """Rows of controls, alone or with a label; below them the tool's text and the buttons.

    The tool outlives its controls, so it holds the values itself.
    """

    def __init__(self, tool: ProposingTool, rows: Sequence[QWidget | tuple[str, QWidget]]) -> None:
        super().__init__()
        self.setObjectName(f"{tool.id}_options")
        grid = QGridLayout()
        grid.setHorizontalSpacing(em(self, 0.5))
        grid.setVerticalSpacing(em(self, 0.3))
        grid.setColumnStretch(1, 1)
        for n, row in enumerate(rows):
            if isinstance(row, QWidget):
                grid.addWidget(row, n, 0, 1, 2)
                continue
            label = QLabel(row[0])
            label.setBuddy(row[1])
            grid.addWidget(label, n, 0)
            grid.addWidget(row[1], n, 1)
        self.text = QLabel()
        named(self.text, f"{tool.id}_text", tr("What is proposed"))
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setMinimumHeight(em(self, 1.2))
        self.apply = QPushButton(tr("Apply"))
        named(self.apply, f"{tool.id}_apply", tr("Apply the proposal"), tr("Apply the proposal (Enter)"))
        set_role(self.apply, "primary")
        self.apply.clicked.connect(lambda: tool.apply())
        self.drop = QPushButton(tr("Drop"))
        named(self.drop, f"{tool.id}_drop", tr("Drop the proposal"), tr("Drop the proposal (Esc)"))
        self.drop.clicked.connect(lambda: tool.cancel())
        buttons = QHBoxLayout()
        buttons.addWidget(self.apply, 2)
        buttons.addWidget(self.drop, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(em(self, 0.3))
        column.addLayout(grid)
        column.addWidget(self.text)
        column.addLayout(buttons)
        tool.voice.said.connect(self.show_text)
        self.show_text("", "muted", tool.drawn)

    def show_text(self, text: str, role: str, drawn: bool) -> None:
        """Show what the tool tells; the buttons work while something is drawn."""
        self.text.setText(text)
        set_role(self.text, role)
        self.apply.setEnabled(drawn)
        self.drop.setEnabled(drawn)


def number(
    name: str,
    what: str,
    value: float,
    ends: tuple[float, float],
    on_changed: Callable[[float], None],
    unit: str = " mm",
) -> QDoubleSpinBox:
    """A whole number with a unit; `on_changed` is called with each new one."""
    spin = QDoubleSpinBox()
    named(spin, name, what, what)
    spin.setDecimals(0)
    spin.setRange(*ends)
    spin.setValue(value)
    spin.setSuffix(unit)
    spin.valueChanged.connect(on_changed)
    return spin


def choice_row(
    name: str, what: str, choices: Sequence[tuple[str, str, str]], chosen: str, on_chosen: Callable[[str], None]
) -> QWidget:
    """Buttons of which one is down; `choices` are (id, text, tip), `on_chosen` is called with an id."""
    box = QWidget()
    named(box, name, what)
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(2)
    group = QButtonGroup(box)
    for key, text, tip in choices:
        button = QToolButton()
        named(button, f"{name}_{key}", f"{what}: {tr(text)}", tr(tip))
        button.setText(tr(text))
        button.setCheckable(True)
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.setChecked(key == chosen)
        button.clicked.connect(lambda _=False, key=key: on_chosen(key))
        group.addButton(button)
        row.addWidget(button)
    return box
