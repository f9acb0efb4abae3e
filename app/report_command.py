"""``contourdesk report``: the report of a review, without the window."""

from __future__ import annotations

from pathlib import Path

from contourdesk.app.console import GOOD, run_job, say
from contourdesk.app.export_command import open_review
from contourdesk.app.report import make_report, write_csv

PDF_NAME, CSV_NAME = "report.pdf", "report.csv"


def report_review(folder: Path, out: Path, *, with_patient: bool = True) -> int:
    """Write report.pdf and report.csv of a review into `out` and return the exit code.

    The review folder is read, with what only its journal has, and never written to.

    Raises
    ------
    UserError : no review there, its images have gone or changed, or a file can't be written.
    """
    from contourdesk.widgets.report_pdf import write_pdf  # Qt, which draws without a screen

    _, session = open_review(folder)
    report = run_job(make_report(session.snapshot(), with_patient=with_patient), "Making the report")
    out.mkdir(parents=True, exist_ok=True)
    say(f"{write_pdf(report, out / PDF_NAME)}: {report.summary}")
    say(f"{write_csv(report, out / CSV_NAME)}: {len(report.rows)} lines")
    return GOOD
