"""Pieces that the main window is put together from: docks, menus, toolbar, the banner for notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QAction, QResizeEvent
from qtpy.QtWidgets import (
    QDockWidget,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QSizePolicy,
    QToolBar,
    QToolButton,
    QWidget,
)

from contourdesk.app.case import Case
from contourdesk.widgets.actions import Action
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, icon, icon_size, named, set_role


class Banner(QFrame):
    """A note that stays until the user takes it away."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("banner")
        set_role(self, "banner")
        self.label = QLabel()
        named(self.label, "banner_text", tr("Notes about this case"))
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        close = QToolButton()
        named(close, "banner_close", tr("Dismiss the notes"), tr("Dismiss"))
        close.setIcon(icon("close"))
        close.setIconSize(icon_size(self, 0.9))
        close.setAutoRaise(True)
        close.clicked.connect(self.clear)
        row = QHBoxLayout(self)
        row.setContentsMargins(em(self, 0.7), em(self, 0.3), em(self, 0.3), em(self, 0.3))
        row.addWidget(self.label, 1)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        self.notes: list[str] = []
        self.hide()

    def add(self, notes: Sequence[str]) -> None:
        """Show these notes below those that stand there."""
        self.notes += [note for note in notes if note and note not in self.notes]
        shown = self.notes[:4]
        if len(self.notes) > len(shown):
            shown.append(f"and {len(self.notes) - len(shown)} more (hover to read)")
        self.label.setText("\n".join(shown))
        self.label.setToolTip("\n".join(self.notes))
        self.setVisible(bool(self.notes))

    def clear(self) -> None:
        """Take all notes away."""
        self.notes = []
        self.hide()


class ElidedLabel(QLabel):
    """A label that shortens its text with dots instead of asking for room."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._full = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

    def minimumSizeHint(self) -> QSize:
        """No width of its own."""
        return QSize(0, super().minimumSizeHint().height())

    sizeHint = minimumSizeHint

    def set_full_text(self, text: str) -> None:
        """Set the text; the whole of it is the tool tip."""
        self._full = text
        self.setToolTip(text)
        self.setAccessibleName(text)
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten anew."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        room = self.width() - em(self, 0.5)
        self.setText(self.fontMetrics().elidedText(self._full, Qt.TextElideMode.ElideRight, room))


class ResampledLabel(QLabel):
    """Stands in the status bar for as long as the images shown are resampled ones; its tool tip says how."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Resampled images", parent)
        named(self, "resampled", tr("These images were resampled"))
        set_role(self, "warning")
        self.hide()

    def show_of(self, case: Case | None) -> str:
        """Show what holds for this case; return what to add to the window's title."""
        how = None if case is None else case.source.resampled
        self.setVisible(how is not None)
        self.setToolTip("" if how is None else how.note)
        return " (resampled images)" if how is not None else ""


def patient_texts(case: Case) -> tuple[str, str]:
    """The patient's name (else that of the file or folder), and a line with what else is known of the images."""
    patient, source = case.patient, case.source
    title = patient.name.replace("^", " ").strip() or source.path.name
    day = source.date
    date = f"{day[:4]}-{day[4:6]}-{day[6:]}" if len(day) == 8 and day.isdigit() else day
    parts = [patient.id, source.modality, date, source.description]
    return title, " · ".join([title, *(p for p in parts if p and p != title)])


def add_dock(window: QMainWindow, title: str, name: str, panel: QWidget, area: Qt.DockWidgetArea) -> QDockWidget:
    """Put a panel into a dock that can be closed and moved, not floated (its windows get lost)."""
    dock = QDockWidget(title, window)
    dock.setObjectName(name)
    dock.setFeatures(QDockWidget.DockWidgetFeature.DockWidgetClosable | QDockWidget.DockWidgetFeature.DockWidgetMovable)
    dock.setAllowedAreas(Qt.DockWidgetArea.LeftDockWidgetArea | Qt.DockWidgetArea.RightDockWidgetArea)
    dock.setTitleBarWidget(_title_bar(title, dock))
    dock.setWidget(panel)
    for part in (dock.titleBarWidget(), panel):
        # Plain QWidgets paint no ground of their own; the window's separators would shine through where they once were.
        part.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
    window.addDockWidget(area, dock)
    return dock


def _title_bar(title: str, dock: QDockWidget) -> QWidget:
    bar = QWidget()
    label = QLabel(title)
    set_role(label, "heading")
    row = QHBoxLayout(bar)
    row.setContentsMargins(em(bar, 0.6), em(bar, 0.5), em(bar, 0.4), 0)
    row.addWidget(label)
    row.addStretch(1)
    bar.setAccessibleName(title)
    return bar


def fill_menus(window: QMainWindow, actions: Sequence[Action], made: Mapping[str, QAction]) -> None:
    """Make the menus, in the order in which the list first names them."""
    menus = {}
    before = ""
    for action in actions:
        if action.menu not in menus:
            menu = window.menuBar().addMenu(f"&{tr(action.menu)}")
            menu.setObjectName(f"menu_{action.menu.lower()}")
            menus[action.menu] = menu
            before = ""
        group = action.id.split("_")[0]
        if before and group != before:
            menus[action.menu].addSeparator()
        before = group
        menus[action.menu].addAction(made[action.id])


def make_toolbar(
    window: QMainWindow, actions: Sequence[Action], made: Mapping[str, QAction], middle: QWidget, label: QWidget
) -> QToolBar:
    """The toolbar: actions that want to be there, the display controls, the patient, help at the end."""
    bar = QToolBar(tr("Main toolbar"), window)
    bar.setObjectName("toolbar")
    bar.setMovable(False)
    bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
    side = icon_size(bar, 1.35)
    bar.setIconSize(QSize(side))
    wanted = [a for a in actions if a.toolbar]
    before = ""
    for action in (a for a in wanted if a.menu != "Help"):
        if before and action.menu != before:
            bar.addSeparator()
        before = action.menu
        bar.addAction(made[action.id])
    bar.addSeparator()
    bar.addWidget(middle)
    bar.addWidget(label)
    for action in (a for a in wanted if a.menu == "Help"):
        bar.addAction(made[action.id])
    for button in bar.findChildren(QToolButton):
        if button.defaultAction() is not None:
            named(button, f"toolbar_{button.defaultAction().objectName()}", button.defaultAction().text())
    window.addToolBar(bar)
    return bar
