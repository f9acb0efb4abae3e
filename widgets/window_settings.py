"""What the window does with its settings: asks for them, and takes them into force."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication

from contourdesk.app.reviews import review_root
from contourdesk.app.settings import Settings
from contourdesk.widgets.actions import set_shortcuts
from contourdesk.widgets.settings_dialog import SettingsDialog
from contourdesk.widgets.theme import apply_theme
from contourdesk.widgets.work_end import WANTED

if TYPE_CHECKING:
    from contourdesk.widgets.main_window import MainWindow


def ask_settings(w: MainWindow, mouse: tuple[tuple[str, str], ...]) -> None:
    """Open the settings; `mouse` is the list of what has fixed keys."""
    default = str(review_root(replace(w.settings, review_root="")))
    dialog = SettingsDialog(w.settings, default, w, actions=w.actions_list, mouse=mouse)
    dialog.changed.connect(lambda settings: take_settings(w, settings))
    dialog.open()


def take_settings(w: MainWindow, settings: Settings) -> None:
    """Keep the settings, and let the open case and all panels follow them."""
    before = w.settings
    w.keep_settings(settings)
    w.predict.set_device(settings.device)
    w.view.set_line_width(settings.line_width)
    w.setProperty(WANTED, settings.notify)
    if settings.theme != before.theme:
        apply_theme(QApplication.instance(), settings.theme)  # type: ignore[arg-type]
    if settings.shortcuts != before.shortcuts:
        set_shortcuts(w.made, w.actions_list, settings.shortcuts)
        w.tools.show_keys(w.made)
    if w.session is not None:
        w.session.blind = settings.blind
        if settings.reviewer:
            w.session.reviewer = settings.reviewer
            w.review.reviewer.setText(settings.reviewer)
    elif w.pages.currentWidget() is w.start_page:
        w.show_start()
