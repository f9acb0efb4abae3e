"""The review report as a PDF. Runs in a worker and without a window: nothing of it is shown on a screen."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QBrush, QColor, QGuiApplication, QImage, QPainter, QPen, QPolygonF

from contourdesk.app.errors import UserError
from contourdesk.app.figures import DEFINITIONS, texts
from contourdesk.app.files import proved
from contourdesk.app.pictures import Picture
from contourdesk.app.report import Report, ReportRow, moment
from contourdesk.widgets.language import tr
from contourdesk.widgets.report_pages import ACCENT, BAD, CARE, GOOD, INNER, LEFT, RULE, SOFT, WIDTH, Pages

_PICTURE = 560.0  # side of a picture
_GHOST = QColor("#ffffff")
_WORDS = {"error": "Almost surely wrong", "warning": "Worth a look", "info": "Note"}
_COLOURS = {"accepted": GOOD, "accepted-edited": GOOD, "rejected": BAD}
_NOT_A_DEVICE = "Not a medical device."


def write_pdf(report: Report, path: Path) -> Path:
    """Write the report as A4 pages with selectable text. Raises UserError when it can't be written."""
    _application()
    try:
        with proved(path) as beside:
            pages = Pages(beside, f"Contour review report {report.patient_id}".strip())
            _head(pages, report)
            _table(pages, report)
            _findings(pages, report)
            _former(pages, report)
            _cards(pages, report)
            _definitions(pages, report)
            who = report.patient_id or report.patient
            footer = " · ".join(p for p in (who, f"made {moment(report.created)} with {report.software}") if p)
            pages.finish(f"{footer}. {_NOT_A_DEVICE}")
            if beside.stat().st_size < 1000:
                raise UserError(
                    tr("{name} could not be written whole.").format(name=path.name), tr("Check the folder's space.")
                )
    except OSError as error:
        raise UserError(
            tr("{name} could not be written ({error}).").format(name=path.name, error=error),
            tr("Check the folder's permissions."),
        ) from error
    return path


def _application() -> None:
    """Fonts need a running Qt; on a machine without a screen it runs without one."""
    if QGuiApplication.instance() is None:
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        _application.running = QGuiApplication(["contourdesk"])  # type: ignore[attr-defined]


def _head(pages: Pages, report: Report) -> None:
    pages.y += pages.put("Contour review report", LEFT, pages.y, INNER, pages.font(19, bold=True)) + 6
    title = report.patient or "Patient left out"
    pages.y += pages.put(title, LEFT, pages.y, INNER, pages.font(12), SOFT) + 14
    pages.rule(ACCENT)
    name, value = pages.font(8.5), pages.font(8.5, bold=True)
    for key, text in report.facts:
        pages.put(key, LEFT, pages.y, 250, name, SOFT)
        pages.y += pages.put(text, LEFT + 270, pages.y, INNER - 270, value if key == "Patient ID" else name) + 7
    pages.y += 14
    pages.flow(report.summary, pages.font(10.5, bold=True))


def _table(pages: Pages, report: Report) -> None:
    pages.heading(tr("Structures"))
    head = ("Structure", "Decision", "By", "ml", "Dice", "Surface Dice", "HD95", "Added path", "Slices", "Time")
    rows = []
    for row in report.rows:
        decision, shown = row.structure.decision, texts(row.figures, row.seconds)
        figures = [
            shown.get(key, "–") for key in ("dice", "surface_dice", "hd95_mm", "added_path_mm", "slices_touched")
        ]
        rows.append(
            (row.structure.name, _capital(decision.text), decision.person, f"{row.volume_ml:.1f}", *figures,
             shown["seconds"])
        )  # fmt: skip
    pages.table(head, rows, (26, 22, 18, 9, 9, 12, 13, 13, 14, 14), 7)
    pages.y += 10
    pages.flow(
        tr(
            "Figures lead from the proposal (or the import) to the final contour; the last page says what they are. "
            "A dash: no proposal, or no such figure."
        ),
        pages.font(8),
        SOFT,
    )


def _findings(pages: Pages, report: Report) -> None:
    found = [f for row in report.rows for f in row.findings]
    pages.heading(tr("Findings left open"))
    if not found:
        pages.flow(tr("The automatic checks found nothing."), pages.font(9))
    for severity, colour in (("error", BAD), ("warning", CARE), ("info", SOFT)):
        for finding in (f for f in found if f.severity == severity):
            height = pages.height(finding.text, INNER - 330, pages.font(9))
            pages.need(height)
            pages.put(_WORDS[severity], LEFT, pages.y, 320, pages.font(8.5, bold=True), colour)
            pages.put(finding.text, LEFT + 330, pages.y, INNER - 330, pages.font(9))
            pages.y += height + 8


def _former(pages: Pages, report: Report) -> None:
    if report.former is None:
        return
    pages.heading(
        tr("Compared with the reading of {former_reader}").format(
            former_reader=report.former_reader or "the first reader"
        )
    )
    pages.flow(report.statement, pages.font(9.5))
    head = ("Structure", report.former_reader or "First", report.reader or "Second", "Dice", "Surface Dice", "HD95",
            "Added path", "Volume")  # fmt: skip
    rows = []
    for d in report.former:
        states = [_capital(s.decision.text) if s is not None else "not there" for s in (d.first, d.second)]
        shown = texts(d.figures)
        keys = ("dice", "surface_dice", "hd95_mm", "added_path_mm", "volume_change_ml")
        rows.append((d.name, *states, *(shown.get(key, "–") for key in keys)))
    pages.table(head, rows, (26, 24, 24, 10, 13, 14, 14, 24), 5)


def _cards(pages: Pages, report: Report) -> None:
    for i, row in enumerate(report.rows):
        height = max(_PICTURE, _card_text(pages, row, draw=False)) + 90
        if i == 0:
            pages.heading(tr("Each structure"), keep=height)
        pages.need(height)
        top = pages.y
        _card_text(pages, row, draw=True)
        _card_picture(pages, row, top)
        pages.y = top + height - 50
        pages.rule()
        pages.y += 24


def _card_picture(pages: Pages, row: ReportRow, top: float) -> None:
    if row.picture is None:
        text = f"{row.structure.name} is empty: no picture."
        pages.put(text, LEFT, top + 40, _PICTURE, pages.font(9), SOFT)
        return
    shown, colour = row.picture, QColor(*row.structure.colour)
    letters, small = pages.font(8, bold=True), pages.font(7.5)
    pages.paint(lambda p: _draw_picture(p, shown, colour, QRectF(LEFT, top, _PICTURE, _PICTURE)))
    up, down, left, right = shown.letters
    white = QColor("#ffffff")
    half, centre = _PICTURE / 2, Qt.AlignmentFlag.AlignHCenter
    pages.put(up, LEFT + half - 30, top + 6, 60, letters, white, centre)
    pages.put(down, LEFT + half - 30, top + _PICTURE - 44, 60, letters, white, centre)
    pages.put(left, LEFT + 8, top + half - 20, 60, letters, white)
    pages.put(right, LEFT + _PICTURE - 68, top + half - 20, 60, letters, white, Qt.AlignmentFlag.AlignRight)
    pages.put(f"Slice {shown.slice_number}", LEFT + 10, top + 6, 300, small, white)


def _draw_picture(painter: QPainter, shown: Picture, colour: QColor, box: QRectF) -> None:
    rows, columns = shown.pixels.shape
    image = QImage(shown.pixels.data, columns, rows, columns, QImage.Format.Format_Grayscale8).copy()
    scale = min(box.height() / shown.size_mm[0], box.width() / shown.size_mm[1])
    size = (shown.size_mm[1] * scale, shown.size_mm[0] * scale)
    place = QRectF(box.x() + (box.width() - size[0]) / 2, box.y() + (box.height() - size[1]) / 2, *size)
    painter.save()
    painter.fillRect(box, QColor("#000000"))
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(place, image.scaled(columns * 4, rows * 4, mode=Qt.TransformationMode.SmoothTransformation))
    painter.setClipRect(place)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QBrush())
    ghost = QPen(_GHOST, 3)
    ghost.setDashPattern([3, 2.5])
    for lines, pen in ((shown.lines, QPen(colour, 5)), (shown.ghost, ghost)):
        painter.setPen(pen)
        for line in lines:
            painter.drawPolyline(QPolygonF([QPointF(place.x() + x * scale, place.y() + y * scale) for x, y in line]))
    painter.restore()
    painter.setPen(QPen(RULE, 2))
    painter.drawRect(box)


def _card_text(pages: Pages, row: ReportRow, *, draw: bool) -> float:
    """Place the text beside the picture, or only say how high it is."""
    s, x = row.structure, LEFT + _PICTURE + 40
    width = WIDTH - LEFT - x
    small, plain = pages.font(8), pages.font(9)
    decision = s.decision
    state = _capital(decision.text)
    if decision.person:
        state += f" by {decision.person}, {moment(decision.time)}"
    lines = [
        (s.name, pages.font(12, bold=True), None, 4),
        (state, pages.font(9, bold=True), _COLOURS.get(decision.state, CARE), 6),
        (f"“{decision.comment}”" if decision.comment else "", plain, None, 6),
        (f"{row.volume_ml:.1f} ml; {row.origin}", small, SOFT, 10),
    ]
    shown = texts(row.figures, row.seconds)
    if row.figures is not None and row.figures.unchanged:
        lines.append(("The same as it came, voxel for voxel.", plain, None, 2))
    for d in DEFINITIONS:
        if row.figures is not None and row.figures.unchanged and d.key != "seconds":
            continue
        if d.key in shown and (row.figures is not None or shown[d.key] != "–"):
            lines.append((f"{d.label}: {shown[d.key]}", plain, None, 2))
    lines.append(("", plain, None, 4))
    for f in row.findings:
        lines.append((f.text, small, {"error": BAD, "warning": CARE}.get(f.severity, SOFT), 3))
    y = pages.y
    for text, font, colour, gap in lines:
        if not text:
            continue
        if draw:
            pages.put(text, x, y, width, font, *([] if colour is None else [colour]))
        y += pages.height(text, width, font) + gap
    return y - pages.y


def _definitions(pages: Pages, report: Report) -> None:
    pages.heading(tr("What the figures are"), keep=500)
    for d in DEFINITIONS:
        unit = f" ({d.unit})" if d.unit else ""
        height = pages.height(d.text, INNER - 330, pages.font(8.5))
        pages.need(height)
        pages.put(f"{d.label}{unit}", LEFT, pages.y, 320, pages.font(8.5, bold=True))
        pages.put(d.text, LEFT + 330, pages.y, INNER - 330, pages.font(8.5))
        pages.y += height + 10
    pages.flow(
        tr(
            "Distances are those of DeepMind's surface-distance. In the pictures the solid line is the final contour, "
            "the dashed white one the proposal."
        ),
        pages.font(8.5),
        SOFT,
    )


def _capital(text: str) -> str:
    return {"unreviewed": "Not decided"}.get(text, text[:1].upper() + text[1:])
