"""Limits of all edits: locked neighbours, a range of slices, the inside of another structure (see `app.limits`)."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.limits import Limits, SliceRange
from contourdesk.app.review import Change, ReviewSession
from contourdesk.widgets.language import tr
from contourdesk.widgets.ortho_view import OrthoView
from contourdesk.widgets.theme import em, named, set_role

_PLANES = ("axial", "sagittal", "coronal")


class LimitsBox(QWidget):
    """A line that says which limits are in force, and the controls below it when it is unfolded."""

    def __init__(self, view: OrthoView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("limits")
        self._view = view
        self._session: ReviewSession | None = None
        self.head = QToolButton()
        named(self.head, "limits_head", tr("Limits of all edits"), tr("Where tools and operations may change anything"))
        self.head.setCheckable(True)
        self.head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.head.toggled.connect(self._unfold)
        self._body = QWidget()
        self._body.hide()
        self._make_body()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(em(self, 0.2))
        column.addWidget(self.head)
        column.addWidget(self._body)
        self._unfold(False)
        self._say()

    def _make_body(self) -> None:
        self.over_locked = QCheckBox(tr("May grow over locked structures"))
        named(self.over_locked, "limits_over_locked", tr("May grow over locked structures"))
        self.over_locked.setToolTip(
            tr("Locked structures are never changed. Without this, others don't grow over them.")
        )
        self.plane = QComboBox()
        named(self.plane, "limits_plane", tr("Slices that may change"), tr("Change these slices only"))
        self.plane.addItem(tr("All slices"), "")
        for plane in _PLANES:
            self.plane.addItem(tr("{plane} slices").format(plane=plane.capitalize()), plane)
        self.first, self.last = QSpinBox(), QSpinBox()
        self._ends = QWidget()
        row = QHBoxLayout(self._ends)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(em(self, 0.2))
        for spin, name, word in ((self.first, "limits_first", tr("From")), (self.last, "limits_last", tr("To"))):
            named(spin, name, tr("{word} slice").format(word=word), tr("{word} this slice").format(word=word))
            spin.setKeyboardTracking(False)
            button = QToolButton()
            named(button, f"{name}_here", tr("{word} the slice shown").format(word=word), tr("Take the slice shown"))
            button.setText(word)
            button.clicked.connect(lambda _=False, spin=spin: spin.setValue(self._shown()))
            row.addWidget(button)
            row.addWidget(spin, 1)
            spin.valueChanged.connect(self._apply)
        self.inside = QComboBox()
        named(
            self.inside, "limits_inside", tr("Only inside a structure"), tr("Change voxels inside this structure only")
        )
        self.inside.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        grid = QGridLayout(self._body)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(em(self, 0.25))
        grid.setColumnStretch(1, 1)
        grid.addWidget(self.over_locked, 0, 0, 1, 2)
        grid.addWidget(QLabel(tr("Change")), 1, 0)
        grid.addWidget(self.plane, 1, 1)
        grid.addWidget(self._ends, 2, 0, 1, 2)
        grid.addWidget(QLabel(tr("Inside")), 3, 0)
        grid.addWidget(self.inside, 3, 1)
        self.over_locked.toggled.connect(self._apply)
        self.plane.currentIndexChanged.connect(self._on_plane)
        self.inside.currentIndexChanged.connect(self._apply)
        self._ends.hide()

    def set_session(self, session: ReviewSession | None) -> None:
        """Limit the edits of another session; a new one begins without limits."""
        if self._session is not None:
            self._session.changed.disconnect(self._on_change, missing_ok=True)
        self._session = session
        for widget in (self.over_locked, self.plane, self.inside):
            with QSignalBlocker(widget):
                widget.setChecked(False) if isinstance(widget, QCheckBox) else widget.setCurrentIndex(0)
        self._ends.hide()
        self._fill()
        self.setEnabled(session is not None)
        if session is not None:
            session.changed.connect(self._on_change)
        self._apply()

    def _on_change(self, change: Change) -> None:
        if change.what in ("added", "removed", "renamed", "reset"):
            self._fill()
            self._apply()

    def _fill(self) -> None:
        """Offer the structures there are; one that is gone limits nothing any more."""
        chosen = self.inside.currentData()
        with QSignalBlocker(self.inside):
            self.inside.clear()
            self.inside.addItem(tr("Anywhere"), "")
            for structure in () if self._session is None else self._session.structures:
                self.inside.addItem(structure.name, structure.id)
            self.inside.setCurrentIndex(max(0, self.inside.findData(chosen)))

    def _axis(self) -> int | None:
        name, session = self.plane.currentData(), self._session
        return session.structures.grid.view(name).slice_axis if name and session is not None else None

    def _shown(self) -> int:
        axis = self._axis()
        return 1 if axis is None else self._view.cross_index[axis] + 1

    def _on_plane(self) -> None:
        axis = self._axis()
        self._ends.setVisible(axis is not None)
        if axis is not None and self._session is not None:
            for spin in (self.first, self.last):
                with QSignalBlocker(spin):
                    spin.setRange(1, self._session.structures.grid.shape[axis])
                    spin.setValue(self._shown())
        self._apply()

    def _apply(self) -> None:
        if self._session is not None:
            axis = self._axis()
            slices = None if axis is None else SliceRange(axis, self.first.value() - 1, self.last.value() - 1)
            self._session.limits = Limits(self.over_locked.isChecked(), slices, self.inside.currentData() or "")
        self._say()

    def _say(self) -> None:
        parts = [tr("over locked")] if self.over_locked.isChecked() else []
        if self.plane.currentData():
            low, high = sorted((self.first.value(), self.last.value()))
            plane = self.plane.currentData()
            parts.append(tr("{plane} {low} to {high}").format(plane=plane, low=low, high=high))
        if self.inside.currentData():
            parts.append(tr("in {structure}").format(structure=self.inside.currentText()))
        text = tr("Limits: {listed}").format(listed=", ".join(parts) or tr("none"))
        room = max(self.width(), em(self, 15)) - em(self, 2)
        self.head.setText(self.head.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room))
        self.head.setAccessibleDescription(text)
        set_role(self.head, "warning" if parts else "")

    def _unfold(self, unfolded: bool) -> None:
        self._body.setVisible(unfolded)
        self.head.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
