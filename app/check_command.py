"""``contourdesk check``: what is wrong with a path, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.console import GOOD, USER_ERROR, run_job, say
from contourdesk.app.dicom_read import SeriesInfo
from contourdesk.app.opening import open_path
from contourdesk.app.profiles import GENERIC, Profile, profile, profiles
from contourdesk.app.project import PREVIOUS
from contourdesk.app.reviews import CASE
from contourdesk.app.rt_findings import RtFinding


def check_path(path: Path, *, resample: bool = False, system: str = GENERIC) -> int:
    """Check one path and return 0 when nothing is wrong with it, else 2.

    With `resample`, a series that can be used once it is resampled counts as good. Structure sets, and what a review
    folder would be exported as, are held against the profile `system`, or against every one of them for "all".

    Raises
    ------
    UserError : it can't be opened at all, or there is no such profile.
    """
    systems = list(profiles().values()) if system == "all" else [profile(system)]
    if path.is_dir() and ((path / "plans.json").exists() or list(path.glob("fold_*"))):
        return _check_model(path)
    if any((path / name).is_file() for name in (CASE, PREVIOUS)):
        return _check_review(path, systems)
    if path.is_file() and _is_rtstruct(path):
        return _check_rtstruct(path, systems)
    opened = run_job(open_path(path), f"Checking {path.name}")
    if isinstance(opened, Case):
        return _check_image(path, opened)
    worst = GOOD
    for series in opened:
        worst = max(worst, _check_series(series, resample, systems))
    return worst


def _check_model(path: Path) -> int:
    from contourdesk.inference.nnunet import load_model

    model = load_model(path)
    spacing = " x ".join(f"{s:g}" for s in model.settings.spacing_mm)
    say(f"{path}: model {model.name}, {len(model.networks)} fold(s), {spacing} mm: {', '.join(model.labels)}")
    say(f"{path}: weights SHA-256 {model.weights_sha256}")
    return GOOD


def _check_image(path: Path, case: Case) -> int:
    shape = " x ".join(str(n) for n in case.volume.grid.shape)
    spacing = " x ".join(f"{s:g}" for s in case.volume.grid.spacing_mm)
    say(f"{path}: {shape} voxels, {spacing} mm")
    for text in case.source.notes:
        say(f"{path}: {text}")
    return USER_ERROR if case.source.notes else GOOD


def _check_series(series: SeriesInfo, resample: bool, systems: Sequence[Profile]) -> int:
    title = f"{series.modality} {series.description or 'without description'}"
    say(f"{title}: {series.slices} slices, {series.spacing_text}, {len(series.rtstructs)} structure set(s)")
    for text in (*series.problems, *series.notes):
        say(f"{title}: {text}")
    how = series.resample
    if how is not None:
        say(f"{title}: it can be resampled (--resample): {how.text} {how.places_text}")
    worst = USER_ERROR if series.problems and not (resample and how is not None) else GOOD
    return max([worst, *(_check_rtstruct(path, systems) for path in series.rtstructs)])


def _is_rtstruct(path: Path) -> bool:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return bool(dcmread(path, specific_tags=["Modality"], stop_before_pixels=True).get("Modality") == "RTSTRUCT")
    except (InvalidDicomError, OSError, ValueError, EOFError):
        return False  # open_path says what it is


def _check_rtstruct(path: Path, systems: Sequence[Profile]) -> int:
    from contourdesk.app.rt_check import check_rtstruct

    return _tell(path, "structure set", [f for system in systems for f in check_rtstruct(path, system)])


def _check_review(path: Path, systems: Sequence[Profile]) -> int:
    from contourdesk.app.dicom_write import RtStructOptions, check_export
    from contourdesk.app.export_command import chosen_structures, open_review

    case, session = open_review(path)
    chosen = chosen_structures(session, everything=True)
    found = [f for system in systems for f in check_export(case, chosen, options=RtStructOptions(profile=system.name))]
    return _tell(path, f"review with {len(chosen)} structures to export", found)


def _tell(path: Path, what: str, findings: Sequence[RtFinding]) -> int:
    """Say each finding once, and return 2 when one of them is an error."""
    for finding in dict.fromkeys(findings):
        say(f"{path}: {finding.severity}: {finding.text}")
    if not findings:
        say(f"{path}: {what}, nothing wrong")
    return USER_ERROR if any(f.severity == "error" for f in findings) else GOOD
