"""What the window shows before a case is open: open, go on with a review, recent cases, sample case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import IconLabel, em, named, set_role


@dataclass(frozen=True)
class Entry:
    """A line of one of the lists: what it opens, a title, a line of detail."""

    path: Path
    title: str
    detail: str
    unsaved: bool = False


class StartPage(QWidget):
    """The start page. It only asks; the window acts."""

    open_folder = Signal()
    open_file = Signal()
    open_sample = Signal()
    open_worklist = Signal()
    open_recent = Signal(object)  # Path of images
    open_review = Signal(object)  # Path of a review folder

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("start_page")
        self._reviews, self._recent = QVBoxLayout(), QVBoxLayout()
        self._review_box = _section(tr("Go on with a review"), self._reviews, "reviews")
        self._recent_box = _section(tr("Recent cases"), self._recent, "recent")
        self._nothing = QLabel(tr("Cases that you open will be listed here."))
        set_role(self._nothing, "muted")
        page = QWidget()
        column = QVBoxLayout(page)
        column.setSpacing(em(self, 1.1))
        column.addStretch(1)
        column.addLayout(self._head())
        column.addLayout(self._cards())
        column.addWidget(self._review_box)
        column.addWidget(self._recent_box)
        column.addWidget(self._nothing)
        column.addStretch(2)
        page.setMaximumWidth(em(self, 50))
        middle = QWidget()
        row = QHBoxLayout(middle)
        row.addStretch(1)
        row.addWidget(page, 20)
        row.addStretch(1)
        scroll = QScrollArea()
        named(scroll, "start_scroll", tr("Start page"))
        scroll.setWidgetResizable(True)
        scroll.setWidget(middle)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.set_entries((), ())

    def _head(self) -> QHBoxLayout:
        row = QHBoxLayout()
        picture = IconLabel("contourdesk", 3.2)
        title = QLabel("Contourdesk")
        set_role(title, "title")
        what = QLabel(tr("Review and correct organ contours on CT. Open a patient, segment, correct, accept, export."))
        what.setWordWrap(True)
        set_role(what, "muted")
        text = QVBoxLayout()
        text.setSpacing(em(self, 0.1))
        text.addWidget(title)
        text.addWidget(what)
        row.addWidget(picture)
        row.addSpacing(em(self, 0.6))
        row.addLayout(text, 1)
        return row

    def _cards(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(em(self, 0.6))
        for column, (name, title, detail, picture, signal) in enumerate(
            (
                (
                    "start_open_folder",
                    tr("Open a folder"),
                    tr("A patient's DICOM images"),
                    "open-folder",
                    self.open_folder,
                ),
                ("start_open_file", tr("Open a file"), tr("NIfTI, NRRD, zipped DICOM"), "open-file", self.open_file),
                ("start_worklist", tr("Worklist"), tr("The cases of a whole folder"), "worklist", self.open_worklist),
                ("start_sample", tr("Sample case"), tr("Head and neck CT"), "sample", self.open_sample),
            )
        ):
            grid.addWidget(_card(self, name, title, detail, picture, signal.emit), column // 2, column % 2)
            grid.setColumnStretch(column % 2, 1)
        return grid

    def set_entries(self, reviews: Sequence[Entry], recent: Sequence[Entry]) -> None:
        """Fill the lists; an empty one is not shown."""
        _fill(self._reviews, reviews, "recover", self.open_review)
        _fill(self._recent, recent, "open-folder", self.open_recent)
        self._review_box.setVisible(bool(reviews))
        self._recent_box.setVisible(bool(recent))
        self._nothing.setVisible(not reviews and not recent)


def _section(title: str, content: QVBoxLayout, name: str) -> QWidget:
    box = QWidget()
    box.setObjectName(f"start_{name}")
    layout = QVBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    heading = QLabel(title)
    set_role(heading, "heading")
    line = QFrame()
    set_role(line, "line")
    layout.addWidget(heading)
    layout.addWidget(line)
    layout.addLayout(content)
    content.setSpacing(em(box, 0.3))
    return box


def _card(parent: QWidget, name: str, title: str, detail: str, picture: str, slot) -> QPushButton:  # type: ignore[no-untyped-def]
    button = QPushButton(parent)
    named(button, name, f"{title}: {detail}")
    set_role(button, "card")
    row = QHBoxLayout(button)
    row.setContentsMargins(em(parent, 0.8), em(parent, 0.5), em(parent, 0.8), em(parent, 0.5))
    image = IconLabel(picture, 1.6, parent)
    text = QVBoxLayout()
    text.setSpacing(0)
    big, small = QLabel(title), QLabel(detail)
    big.setTextFormat(Qt.TextFormat.PlainText)
    small.setTextFormat(Qt.TextFormat.PlainText)
    set_role(big, "strong")
    set_role(small, "muted")
    text.addWidget(big)
    text.addWidget(small)
    row.addWidget(image)
    row.addSpacing(em(parent, 0.4))
    row.addLayout(text, 1)
    for child in (image, big, small):
        child.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    button.setMinimumWidth(em(parent, 14))
    button.clicked.connect(lambda: slot())
    return button


def _fill(layout: QVBoxLayout, entries: Sequence[Entry], picture: str, signal) -> None:  # type: ignore[no-untyped-def]
    while layout.count():
        item = layout.takeAt(0)
        widget = item.widget() if item is not None else None
        if widget is not None:
            widget.deleteLater()
    for i, entry in enumerate(entries):
        parent = layout.parentWidget()
        detail = f"Not saved to the end: can be recovered.  {entry.detail}" if entry.unsaved else entry.detail
        kind = "review" if picture == "recover" else "recent"
        card = _card(parent, f"{kind}_{i}", entry.title, detail, picture, lambda entry=entry: signal.emit(entry.path))
        card.setToolTip(str(entry.path))
        layout.addWidget(card)
