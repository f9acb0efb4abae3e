"""``contourdesk export`` of one review or many, of which a bad one doesn't stop the rest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from contourdesk.app.console import GOOD, guarded, note, run_job, say
from contourdesk.app.export_job import How, TrainingOptions, export_review, labels_of, reviews_in

if TYPE_CHECKING:
    from contourdesk.app.dicom_write import RtStructOptions

__all__ = ["TrainingOptions", "export_reviews"]


def export_reviews(
    paths: Sequence[Path],
    out: Path,
    formats: Sequence[str],
    everything: bool = False,
    options: RtStructOptions | None = None,
    training: TrainingOptions | None = None,
) -> int:
    """Write reviews, or all reviews in folders, and return the exit code: that of the worst.

    Of several reviews, clinical formats get a folder each in `out`; training cases go into one dataset, which is `out`
    itself when that is one or is called ``Dataset<number>_<name>``.

    Raises
    ------
    UserError : no review there, or with a single one what goes wrong with it.
    """
    folders = reviews_in(paths)
    how = How(formats, everything, options, training or TrainingOptions())
    labels = labels_of(folders, how)
    many = len(folders) > 1
    codes = []
    for folder in folders:
        job = partial(_export_one, folder, out, how, labels, many)
        codes.append(guarded(job, folder.name) if many else job())
    if many:
        say(f"{codes.count(GOOD)} of {len(codes)} reviews were exported.")
    return max(codes)


def _export_one(folder: Path, out: Path, how: How, labels: Sequence[str], many: bool) -> int:
    done = run_job(export_review(folder, out, how, labels, many=many), f"Exporting {folder.name}")
    for text in done.notes:
        note(text)
    for text in done.written:
        say(text)
    if done.error is not None:
        raise done.error
    return GOOD
