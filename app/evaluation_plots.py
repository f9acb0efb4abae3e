"""Plots of an evaluation as inline SVG: they print sharply and need no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from contourdesk.app.evaluation import LOSS, Interval, OrganSummary, Paired, Score

# Of Okabe and Ito's colours, which colour-blind people tell apart; darkened a little for white paper.
COLOURS = {"A": "#0072B2", "B": "#D55E00"}
_ROW, _LEFT, _WIDTH, _RIGHT = 34, 150, 760, 20


def dice_plot(scores: Sequence[Score], summaries: Sequence[OrganSummary]) -> str:
    """Every case's Dice as a dot, for each organ and model, with the mean and its interval above them."""
    organs = list(dict.fromkeys(s.organ for s in summaries))
    models = sorted({s.model for s in summaries})
    row = _ROW * len(models) * 0.75 + 10
    height = 34 + row * len(organs)
    parts = [_axis(0.0, 1.0, 0.1, height, "Dice")]
    for i, organ in enumerate(organs):
        top = 8 + i * row
        parts.append(_label(organ, top + row / 2))
        for j, model in enumerate(models):
            y = top + 12 + j * _ROW * 0.75
            values = [s.dice for s in scores if s.organ == organ and s.model == model]
            jitter = np.random.default_rng(i).uniform(-5, 5, len(values))
            dots = "".join(
                f'<circle cx="{_x(v, 0, 1):.1f}" cy="{y + d:.1f}" r="2.4"/>'
                for v, d in zip(values, jitter, strict=True)
            )
            parts.append(f'<g fill="{COLOURS[model]}" fill-opacity="0.35">{dots}</g>')
            found = next((s for s in summaries if s.organ == organ and s.model == model), None)
            if found is not None:
                parts.append(_whisker(found.figures["dice"], y, 0.0, 1.0, COLOURS[model], model))
    return _svg(height, "".join(parts), "Dice of every case, mean and 95 % interval for each organ")


def difference_plot(pairs: Sequence[Paired]) -> str:
    """Mean difference in Dice, B minus A, with its interval for each organ and for all."""
    ends = [abs(v) for p in pairs for v in (p.difference.low, p.difference.high, p.difference.value) if np.isfinite(v)]
    reach = max(0.05, float(np.ceil(max(ends, default=0.05) * 22) / 20))
    height = 34 + _ROW * len(pairs)
    step = 0.01 if reach <= 0.1 else 0.05 if reach <= 0.4 else 0.2
    parts = [_axis(-reach, reach, step, height, "Dice, B minus A")]
    low, zero = _x(-LOSS, -reach, reach), _x(0, -reach, reach)
    band = f'x="{low:.1f}" y="4" width="{zero - low:.1f}" height="{height - 34}"'
    parts.append(f'<rect {band} fill="#000" fill-opacity="0.05"/>')
    parts.append(f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="4" y2="{height - 30}" stroke="#333"/>')
    for i, pair in enumerate(pairs):
        y = 4 + (i + 0.5) * _ROW
        parts.append(_label(pair.organ, y))
        colour = {"better": "#007a5e", "worse": "#c0392b"}.get(pair.finding, "#555")
        parts.append(_whisker(pair.difference, y, -reach, reach, colour, pair.finding))
    return _svg(height, "".join(parts), "Difference in Dice, B minus A, with 95 % interval")


def _x(value: float, low: float, high: float) -> float:
    return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)


def _axis(low: float, high: float, step: float, height: float, title: str) -> str:
    count = round((high - low) / step)
    parts = []
    for value in (
        np.linspace(low, high, count + 1) if abs(count * step - (high - low)) < 1e-9 else _ticks(low, high, step)
    ):
        x = _x(float(value), low, high)
        text = f"{value:+.2f}" if low < 0 and abs(value) > 1e-9 else f"{abs(value):.2g}"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 30:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 18:.1f}" text-anchor="middle">{text}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{height - 2:.1f}" text-anchor="middle">{escape(title)}</text>')
    return "".join(parts)


def _ticks(low: float, high: float, step: float) -> Sequence[float]:
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [n * step for n in range(first, last + 1)]


def _label(text: str, y: float) -> str:
    return f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'


def _whisker(i: Interval, y: float, low: float, high: float, colour: str, what: str) -> str:
    if not np.isfinite(i.value):
        return ""
    x = _x(i.value, low, high)
    line = ""
    if np.isfinite(i.low):
        a, b = _x(i.low, low, high), _x(i.high, low, high)
        line = f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2.5"/>'
    title = f"<title>{escape(what)}: {i.value:.3f} ({i.low:.3f} to {i.high:.3f})</title>"
    mark = f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}">{title}</rect>'
    return line + mark


def _svg(height: float, content: str, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" role="img" aria-label="{escape(title)}" '
        f'font-family="inherit" font-size="12" fill="#222">{content}</svg>'
    )
