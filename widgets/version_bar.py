"""Compares two versions of the active structure: a small bar above the images, two outlines in two line styles."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QToolButton, QWidget

from contourdesk.app.review import Change, ReviewSession
from contourdesk.app.versions import Version, versions
from contourdesk.widgets.language import tr
from contourdesk.widgets.ortho_view import OrthoView
from contourdesk.widgets.theme import em, icon, icon_size, named, set_role


class VersionBar(QWidget):
    """Hidden until `open_bar`; follows the active structure."""

    def __init__(self, view: OrthoView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("version_bar")
        self._view = view
        self._session: ReviewSession | None = None
        self._versions: list[Version] = []
        self.name = QLabel()
        named(self.name, "compared_structure")
        self.name.setTextFormat(Qt.TextFormat.PlainText)
        set_role(self.name, "strong")
        self.one, self.other = QComboBox(), QComboBox()
        named(self.one, "version_dashed", tr("Version with the dashed outline"), tr("Drawn dashed"))
        named(self.other, "version_solid", tr("Version with the solid outline"), tr("Drawn solid"))
        self.volumes = QLabel()
        named(self.volumes, "version_volumes", tr("Volumes of the two versions"))
        set_role(self.volumes, "muted")
        close = QToolButton()
        named(close, "version_close", tr("End the comparison"), tr("End the comparison (Shift+Q)"))
        close.setIcon(icon("close"))
        close.setIconSize(icon_size(self, 0.9))
        close.setAutoRaise(True)
        close.clicked.connect(self.close_bar)
        row = QHBoxLayout(self)
        row.setContentsMargins(em(self, 0.7), em(self, 0.2), em(self, 0.3), em(self, 0.2))
        row.setSpacing(em(self, 0.4))
        row.addWidget(self.name)
        for text, box in ((tr("dashed"), self.one), (tr("solid"), self.other)):
            label = QLabel(text)
            label.setBuddy(box)
            set_role(label, "muted")
            row.addWidget(label)
            row.addWidget(box)
            box.setMinimumWidth(box.fontMetrics().horizontalAdvance("Proposal of the model") + em(self, 2.4))
            box.activated.connect(self._compare)
        row.addWidget(self.volumes)
        row.addStretch(1)
        row.addWidget(close)
        view.active_changed.connect(lambda _: self._fill())
        self.hide()

    def set_session(self, session: ReviewSession | None) -> None:
        """Follow another session."""
        if self._session is not None:
            self._session.changed.disconnect(self._on_change, missing_ok=True)
        self._session = session
        self.close_bar()
        if session is not None:
            session.changed.connect(self._on_change)

    def toggle(self) -> None:
        """Begin or end the comparison."""
        if self.isHidden():
            self.show()
            self._fill()
        else:
            self.close_bar()

    def close_bar(self) -> None:
        """End the comparison."""
        self.hide()
        self._view.marks.compare(None)

    def _on_change(self, change: Change) -> None:
        if not self.isHidden() and change.structure_id in (None, self._view.active):
            self._fill()

    def _fill(self) -> None:
        if self.isHidden():
            return
        active = self._view.active
        if self._session is None or active is None:
            self._versions = []
        else:
            self._versions = versions(self._session, active)
        structure = None if active is None or self._session is None else self._session.structures.get(active)
        self.name.setText("" if structure is None else structure.name)
        kept = [box.currentData() for box in (self.one, self.other)]
        for box, key, default in ((self.one, kept[0], 0), (self.other, kept[1], len(self._versions) - 1)):
            with QSignalBlocker(box):
                box.clear()
                for version in self._versions:
                    box.addItem(version.text, version.key)
                found = box.findData(key)
                box.setCurrentIndex(found if found >= 0 else default)
            box.setEnabled(len(self._versions) > 1)
        self._compare()

    def _compare(self, _: int = 0) -> None:
        if len(self._versions) < 2:
            self.volumes.setText(tr("No other version is kept: nothing was proposed, imported or accepted."))
            self._view.marks.compare(None)
            return
        one, other = (self._versions[box.currentIndex()] for box in (self.one, self.other))
        ml = self._session.structures.grid.voxel_ml  # type: ignore[union-attr]
        a, b = one.mask.count * ml, other.mask.count * ml
        self.volumes.setText(tr("{a:.1f} ml, {b:.1f} ml ({b_2:+.1f})").format(a=a, b=b, b_2=b - a))
        self._view.marks.compare((one.mask, other.mask))
