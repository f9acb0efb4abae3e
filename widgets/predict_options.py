"""What may be chosen for a segmentation, in a frame of its own until it is wanted: organs, part, mirroring, folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box, whole_box
from contourdesk.app.naming import suggest
from contourdesk.inference.model_library import Entry
from contourdesk.inference.options import Options
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role

WHOLE, SLICES, VIEWS = "whole", "slices", "views"
_PARTS = (("Whole image", WHOLE), ("Between slices", SLICES), ("What the views show", VIEWS))


class _Popup(QFrame):
    """A frame that goes with a click elsewhere, or with Esc."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setFrameShape(QFrame.Shape.StyledPanel)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc closes it."""
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
        else:
            super().keyPressEvent(event)


class PredictOptions(QWidget):
    """A button that opens the options beside itself, and says what was chosen.

    `unfolded` comes when they are opened: the model may have to be read first, see `show_entry`.
    """

    unfolded = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("predict_options")
        self._entry: Entry | None = None
        self._shape: tuple[int, int, int] | None = None
        self.visible_box: Callable[[], Box] | None = None  # what the views show
        self.header = QToolButton()
        named(
            self.header,
            "segment_options",
            tr("Options of the segmentation"),
            tr("Organs, part of the image, mirroring, folds"),
        )
        self.header.setAutoRaise(True)
        self.header.setArrowType(Qt.ArrowType.RightArrow)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.header.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.header.clicked.connect(self.open)
        self.info = QLabel()
        named(self.info, "segment_options_info", tr("About the options"))
        self.info.setWordWrap(True)
        self.info.setTextFormat(Qt.TextFormat.PlainText)
        set_role(self.info, "muted")
        self._make_organs()
        self._make_part()
        self.mirroring = QCheckBox(tr("Mirroring"))
        named(self.mirroring, "segment_mirroring", tr("Also run mirror images and take the mean"))
        self.mirroring.setChecked(True)
        self.mirroring.toggled.connect(self._show_header)
        self._folds = QWidget()
        self._fold_row = QHBoxLayout(self._folds)
        self._fold_row.setContentsMargins(0, 0, 0, 0)
        self._fold_boxes: dict[str, QCheckBox] = {}
        self._build()
        self._show_part()

    def _make_organs(self) -> None:
        self.organs = QListWidget()
        named(self.organs, "segment_organs", tr("Structures to segment"), tr("Structures to segment; Space ticks one"))
        self.organs.setFixedHeight(em(self, 6.4))
        self.organs.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.organs.itemChanged.connect(self._show_header)
        self.all_button, self.none_button = QToolButton(), QToolButton()
        for button, text, ticked in ((self.all_button, "All", True), (self.none_button, "None", False)):
            button.setText(tr(text))
            named(
                button,
                f"segment_organs_{text.lower()}",
                tr("Structures to segment: tick {which}").format(which=tr(text)),
            )
            button.clicked.connect(lambda _=False, ticked=ticked: self._tick_all(ticked))

    def _make_part(self) -> None:
        self.part = QComboBox()
        named(self.part, "segment_part", tr("Part of the image to segment"))
        for text, value in _PARTS:
            self.part.addItem(tr(text), value)
        self.part.currentIndexChanged.connect(self._show_part)
        self.first, self.last = QSpinBox(), QSpinBox()
        for spin, name in ((self.first, "first"), (self.last, "last")):
            named(spin, f"segment_{name}_slice", tr("{which} slice to segment").format(which=name.capitalize()))
            spin.setKeyboardTracking(False)
            spin.valueChanged.connect(self._show_header)
        self._slices = QWidget()
        row = QHBoxLayout(self._slices)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.first, 1)
        row.addWidget(QLabel(tr("to")))
        row.addWidget(self.last, 1)

    def _build(self) -> None:
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(em(self, 0.3))
        ticks = QVBoxLayout()
        ticks.setSpacing(em(self, 0.2))
        organs = QLabel(tr("Organs"))
        set_role(organs, "muted")
        organs.setBuddy(self.organs)
        for widget in (organs, self.all_button, self.none_button):
            ticks.addWidget(widget)
        ticks.addStretch(1)
        grid.addLayout(ticks, 0, 0)
        grid.addWidget(self.organs, 0, 1)
        part = QLabel(tr("Part"))
        set_role(part, "muted")
        part.setBuddy(self.part)
        grid.addWidget(part, 1, 0)
        grid.addWidget(self.part, 1, 1)
        grid.addWidget(self._slices, 2, 1)
        grid.addWidget(self.mirroring, 3, 0, 1, 2)
        grid.addWidget(self._folds, 4, 0, 1, 2)
        grid.addWidget(self.info, 5, 0, 1, 2)
        # A frame beside the panel: a small screen has no room for it between the list and the button.
        self.body = _Popup(self)
        named(self.body, "segment_options_frame", tr("Options of the segmentation"))
        self.body.setLayout(grid)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.header)

    # -- what the panel uses --------------------------------------------------------------------------------------

    def open(self) -> None:
        """Show the options beside the button, on the screen as a whole."""
        self.body.setFixedWidth(max(self.width(), em(self, 20)))
        self.body.adjustSize()
        corner = self.mapToGlobal(self.rect().topRight())
        room = self.screen().availableGeometry()
        top = min(corner.y(), room.bottom() - self.body.height())
        self.body.move(corner.x() + em(self, 0.6), max(room.top(), top))
        self.body.show()
        self.organs.setFocus()
        self.unfolded.emit()

    @property
    def is_open(self) -> bool:
        """Whether the options are shown."""
        return self.body.isVisible()

    def show_entry(self, entry: Entry | None, device: str = "") -> None:
        """Offer what a model has; None, or one that was never read, offers nothing yet. All is chosen anew then."""
        known = entry is not None and entry.passes > 0
        if entry != self._entry:
            self._entry = entry
            self._fill_organs(entry.organs if entry is not None else ())
            self._fill_folds(entry.folds if entry is not None else ())
            self.mirroring.setChecked(True)
        can_mirror = known and entry is not None and entry.passes > 1
        self.mirroring.setEnabled(can_mirror)
        if known and not can_mirror:
            self.mirroring.setChecked(False)
        if not known or entry is None:
            self.info.setText(tr("The model is being read…") if entry is not None else "")
            return
        if entry.passes > 1:
            self.mirroring.setText(tr("Mirroring ({passes} passes, more exact)").format(passes=entry.passes))
            self.mirroring.setToolTip(tr("Without, it is that many times faster and a little less exact"))
        else:
            self.mirroring.setText(tr("Mirroring: this model has none"))
            self.mirroring.setToolTip(tr("It was trained without mirror images, so it never runs them"))
        self.info.setText(tr("Runs on {device}.").format(device=device) if device else "")

    def show_failure(self, text: str) -> None:
        """Say that the model can't be read."""
        self.info.setText(text)

    def set_shape(self, shape: tuple[int, int, int] | None) -> None:
        """Work on an image of this shape: all of it, at first."""
        self._shape = shape
        n = shape[0] if shape is not None else 1
        for spin, value in ((self.first, 1), (self.last, n)):
            with QSignalBlocker(spin):
                spin.setRange(1, n)
                spin.setValue(value)
        self.part.setCurrentIndex(0)
        self._show_header()

    def chosen(self) -> tuple[Options, tuple[str, ...] | None]:
        """The options, and the folds (None: all).

        Raises UserError when no structure or no fold is ticked, or the slices run backwards.
        """
        organs, folds = self._ticked_organs(), self._ticked_folds()
        if self.organs.count() and not organs:
            raise UserError(tr("No structure is ticked."), tr("Tick at least one under Options."))
        if self._fold_boxes and not folds:
            raise UserError(tr("No fold of the model is ticked."), tr("Tick at least one under Options."))
        every = len(organs) == self.organs.count()
        options = Options(
            organs=None if every else tuple(organs),
            box=self._box(),
            mirroring=self.mirroring.isChecked() or not self.mirroring.isEnabled(),
            probabilities=True,
        )
        return options, None if len(folds) == len(self._fold_boxes) else tuple(folds)

    def summary(self) -> str:
        """What differs from the usual, in a few words; empty when nothing does."""
        out = []
        organs, folds = self._ticked_organs(), self._ticked_folds()
        if len(organs) != self.organs.count():
            out.append(f"{len(organs)} of {self.organs.count()} organs")
        if self.part.currentData() == SLICES:
            out.append(f"slices {self.first.value()} to {self.last.value()}")
        elif self.part.currentData() == VIEWS:
            out.append("what is shown")
        if not self.mirroring.isChecked() and self.mirroring.isEnabled():
            out.append("no mirroring")
        if len(folds) != len(self._fold_boxes):
            out.append(f"{len(folds)} of {len(self._fold_boxes)} folds")
        return ", ".join(out)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _box(self) -> Box | None:
        part = self.part.currentData()
        if self._shape is None or part == WHOLE:
            return None
        if part == SLICES:
            if self.first.value() > self.last.value():
                raise UserError(tr("The first slice lies behind the last."), tr("Correct the slices under Options."))
            box: Box = (slice(self.first.value() - 1, self.last.value()), *whole_box(self._shape)[1:])
        else:
            box = self.visible_box() if self.visible_box is not None else whole_box(self._shape)
        return None if box == whole_box(self._shape) else box

    def _ticked_organs(self) -> list[str]:
        items = [self.organs.item(i) for i in range(self.organs.count())]
        return [i.data(Qt.ItemDataRole.UserRole) for i in items if i.checkState() == Qt.CheckState.Checked]

    def _ticked_folds(self) -> list[str]:
        return [name for name, box in self._fold_boxes.items() if box.isChecked()]

    def _tick_all(self, ticked: bool) -> None:
        state = Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked
        for i in range(self.organs.count()):
            self.organs.item(i).setCheckState(state)

    def _fill_organs(self, labels: Sequence[str]) -> None:
        with QSignalBlocker(self.organs):
            self.organs.clear()
            for label in labels:
                item = QListWidgetItem(suggest(label) or label)
                item.setData(Qt.ItemDataRole.UserRole, label)
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                item.setCheckState(Qt.CheckState.Checked)
                self.organs.addItem(item)
        self._show_header()

    def _fill_folds(self, folds: Sequence[str]) -> None:
        while self._fold_row.count():
            item = self._fold_row.takeAt(0)
            if item is not None and item.widget() is not None:
                item.widget().deleteLater()
        self._fold_boxes = {}
        if len(folds) > 1:
            label = QLabel(tr("Folds"))
            set_role(label, "muted")
            self._fold_row.addWidget(label)
            for name in folds:
                box = QCheckBox(name.removeprefix("fold_"))
                named(
                    box,
                    f"segment_{name}",
                    tr("Run fold {number} of the model").format(number=name.removeprefix("fold_")),
                )
                box.setChecked(True)
                box.toggled.connect(self._show_header)
                self._fold_boxes[name] = box
                self._fold_row.addWidget(box)
            self._fold_row.addStretch(1)
        self._folds.setVisible(len(folds) > 1)
        self._show_header()

    def _show_part(self) -> None:
        self._slices.setEnabled(self.part.currentData() == SLICES)
        self._show_header()

    def _show_header(self, *_: object) -> None:
        summary = self.summary()
        self.header.setText(tr("Options: {summary}").format(summary=summary) if summary else tr("Options"))
        self.header.setToolTip(summary or tr("Organs, part of the image, mirroring, folds"))
