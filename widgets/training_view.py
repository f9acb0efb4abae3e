"""How a training goes, to look at: loss, Dice on held-out cases, a sample picture, and what was said."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from contourdesk.app.training_state import MEAN, TrainingState
from contourdesk.widgets.curves_plot import Curve, CurvesPlot, smoothed
from contourdesk.widgets.language import tr
from contourdesk.widgets.sample_picture import SamplePicture
from contourdesk.widgets.theme import em, ink, named, set_role


class TrainingView(QWidget):
    """Shows a `TrainingState`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "plain")
        self.loss = CurvesPlot("train_loss", tr("Loss"), tr("step"), tr("The loss, as soon as it trains."))
        self.dice = CurvesPlot(
            "train_dice",
            tr("Dice on held-out cases"),
            tr("step"),
            tr("Dice of each organ, each time the held-out cases were tried."),
            0.0,
            1.0,
        )
        self.picture = SamplePicture(
            "train_picture", tr("A held-out case: truth and proposal"), tr("A held-out case with truth and proposal.")
        )
        self.notes = QPlainTextEdit()
        named(self.notes, "train_notes", tr("What the training says"))
        self.notes.setReadOnly(True)
        self.notes.setPlaceholderText(tr("What the training says of data, device and network."))
        self.notes.setMinimumHeight(em(self, 6))
        row = QHBoxLayout()
        row.setSpacing(em(self, 0.4))
        row.addWidget(self.picture, 2)
        row.addWidget(self.notes, 3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(em(self, 0.4), 0, 0, 0)
        layout.setSpacing(em(self, 0.4))
        layout.addWidget(self.loss, 3)
        layout.addWidget(self.dice, 4)
        layout.addLayout(row, 4)
        self._scored, self._said = -1, ()

    def show_state(self, state: TrainingState) -> None:
        """Show how it stands."""
        c = state.curves
        quiet = QColor(ink("accent-border"))
        quiet.setAlpha(90)
        self.loss.set_curves([
            Curve("", c.steps, c.losses, quiet, 1.0),
            Curve(tr("mean"), c.steps, smoothed(c.losses), ink("focus"), 2.0),
        ])  # fmt: skip
        if len(c.score_steps) != self._scored:
            self._scored = len(c.score_steps)
            self.dice.set_curves(dice_curves(c.score_steps, c.dice))
        self.picture.show_path(state.picture)
        self.picture.setToolTip(state.picture)
        if state.notes != self._said:
            self._said = state.notes
            self.notes.setPlainText("\n".join(state.notes))


def dice_curves(steps: Sequence[int], dice: dict[str, tuple[float | None, ...]]) -> list[Curve]:
    """A curve for each organ that was scored, the best one first, and a thick one for the mean."""
    curves = []
    organs = sorted(organ for organ in dice if organ != MEAN)
    for number, organ in enumerate(organs):
        points = [(x, y) for x, y in zip(steps, dice[organ], strict=True) if y is not None]
        if points:
            hue = round(360 * number / max(1, len(organs)))
            colour = QColor.fromHsl(hue, 150, 150 if ink("text").lightness() > 128 else 110)
            curves.append(Curve(organ, [x for x, _ in points], [y for _, y in points], colour, 1.2, dots=True))
    curves.sort(key=lambda curve: -curve.ys[-1])
    mean = [(x, y) for x, y in zip(steps, dice.get(MEAN, ()), strict=True) if y is not None] if MEAN in dice else []
    if mean:
        curves.insert(0, Curve(tr("mean"), [x for x, _ in mean], [y for _, y in mean], ink("text-strong"), 2.4, True))
    return curves


def time_left(seconds: float) -> str:
    """``about 12 min left``."""
    if seconds < 90:
        return tr("about {count} s left").format(count=max(1, round(seconds)))
    if seconds < 5400:
        return tr("about {count} min left").format(count=round(seconds / 60))
    return tr("about {count} h left").format(count=f"{seconds / 3600:.1f}")
