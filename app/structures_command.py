"""``contourdesk check IMAGES --structures FILE``: whether structures that another tool wrote fit the images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.console import GOOD, note, run_job, say
from contourdesk.app.dicom_read import read_series, refusal
from contourdesk.app.masks_read import import_structures
from contourdesk.app.opening import open_path


def check_structures(images: Path, path: Path, *, resample: bool = False, any_reference: bool = False) -> int:
    """Say what structures a file or folder holds, on the grid of the images, and return 0.

    With `any_reference`, structures are taken by their coordinates whatever images they say they belong to.

    Raises
    ------
    UserError : the images or the structures can't be read, or don't belong to each other.
    """
    opened = run_job(open_path(images), f"Opening {images.name}")
    if isinstance(opened, Case):
        case = opened
    else:
        series = next((s for s in opened if s.usable or (resample and s.resample is not None)), None)
        if series is None:
            raise refusal(opened[0])
        # The structures asked about come first and keep their names.
        alone = replace(series, rtstructs=(), segs=())
        case = run_job(read_series(alone, alone.resample), f"Reading {images.name}")
    structures, notes = run_job(import_structures(path, case, any_reference=any_reference), f"Reading {path.name}")
    for text in notes:
        note(text)
    for structure in structures:
        say(f"{structure.name}: {structure.volume_ml(case.volume.grid):.3f} ml")
    say(f"{path}: {len(structures)} structures fit the images")
    return GOOD
