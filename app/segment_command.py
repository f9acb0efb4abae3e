"""``contourdesk segment``: cases in, one folder of structures for each out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.console import GOOD, STOPPED, guarded, note, run_job, say
from contourdesk.app.dicom_read import SeriesInfo, read_series, refusal
from contourdesk.app.errors import UserError
from contourdesk.app.image_read import case_name, is_image_file
from contourdesk.app.opening import open_path
from contourdesk.app.structures import Structure
from contourdesk.app.writers import FILE_NAMES, NEEDS_DICOM, write_format

RTSTRUCT_NAME = "rtstruct.dcm"
BUNDLED = "headneck"


def model_folder(wanted: str | None = None) -> Path:
    """Folder (or archive) of a model: a path, or the name of a bundled model or of one that was added.

    Raises
    ------
    UserError : neither; lists the bundled ones.
    """
    bundled = Path(str(files("contourdesk.resources"))) / "models"
    for folder in (Path(wanted) if wanted else bundled / BUNDLED, bundled / (wanted or BUNDLED)):
        if folder.is_dir() or (wanted and folder.suffix.lower() == ".zip" and folder.is_file()):
            return folder
    added = _added(wanted) if wanted else None
    if added is not None:
        return added
    names = ", ".join(sorted(p.parent.name for p in bundled.glob("*/plans.json"))) or "none"
    raise UserError(f'There is no model "{wanted or BUNDLED}".', f"Give a model folder or a bundled model: {names}.")


def _added(name: str) -> Path | None:
    from contourdesk.app.settings import config_dir

    if not (config_dir() / "models.json").is_file():
        return None
    from contourdesk.inference.model_library import list_models

    return next((Path(entry.folder) for entry in list_models() if entry.name == name and entry.is_there), None)


def segment_cases(
    paths: Sequence[Path],
    out: Path,
    model: str | None,
    formats: Sequence[str] | None,
    device: str,
    *,
    resample: bool = False,
    folds: Sequence[str] | None = None,
    organs: Sequence[str] | None = None,
    mirroring: bool = True,
) -> int:
    """Segment every case under `paths` and return the exit code; a case that fails does not stop the others.

    Parameters
    ----------
    paths : as on the command line;  out : gets a folder for each case.
    model : see `model_folder`;  device : see `contourdesk.inference.device.choose_device`.
    formats : "rtstruct", "seg", "nrrd", "nifti" or several; RTSTRUCT and NIfTI as the image allows when None.
    resample : whether a series whose slices lie unevenly is resampled instead of refused.
    folds : folds of the model, all when None;  organs, mirroring : see `contourdesk.inference.options.Options`.

    Raises
    ------
    UserError : no such model or device.
    """
    from contourdesk.inference.device import choose_device, describe
    from contourdesk.inference.nnunet import load_models
    from contourdesk.inference.options import Options
    from contourdesk.inference.predict import predict

    loaded = load_models(model_folder(model), folds)
    where = choose_device(device)
    options = Options(organs=None if organs is None else tuple(organs), mirroring=mirroring)
    note(f"model {', '.join(one.name for one in loaded)}, on {describe(where)}")
    taken: set[str] = set()

    def one(case: Case, name: str) -> int:
        folder = out / free_name(name, taken)
        found = run_job(predict(case.volume, loaded, where, options), name)
        for text in found.notes:
            note(f"{name}: {text}")
        _tell(folder, write_results(case, found, folder, formats))
        return GOOD

    return _worst((str(path), partial(_each, path, one, resample)) for path in expand(paths))


def _worst(actions: Iterable[tuple[str, Callable[[], int]]]) -> int:
    """Run them all, each by itself, and return the worst exit code; Ctrl+C ends the row."""
    worst = GOOD
    for about, action in actions:
        code = guarded(action, about)
        if code == STOPPED:
            return code
        worst = max(worst, code)
    return worst


def expand(paths: Sequence[Path]) -> Iterator[Path]:
    """A folder with image files in it stands for those files; nnU-Net's ``*_0000`` ones when there are such."""
    for path in paths:
        images = sorted(p for p in path.iterdir() if _is_case(p)) if path.is_dir() else []
        numbered = [p for p in images if "_0000." in p.name]
        yield from numbered or images or [path]


def _is_case(path: Path) -> bool:
    """Whether a file in a folder is an image of its own: not the voxels of a .hdr file, nor a segmentation."""
    return path.is_file() and is_image_file(path) and not path.name.lower().endswith((".img", ".seg.nrrd"))


def _each(path: Path, work: Callable[[Case, str], int], resample: bool) -> int:
    """Run `work` on every case that `path` holds."""
    opened = run_job(open_path(path), f"Opening {path.name}")
    if isinstance(opened, Case):
        return work(opened, case_name(path))
    chosen = usable_series(path, opened, resample)
    if len(chosen) == 1:
        return _read_and_work(*chosen[0], work)
    return _worst((name, partial(_read_and_work, name, series, work)) for name, series in chosen)


def usable_series(path: Path, opened: Sequence[SeriesInfo], resample: bool) -> list[tuple[str, SeriesInfo]]:
    """The series that can be segmented, with their folders' names. Raises UserError for none, which says why."""
    chosen = [series for series in opened if series.usable or (resample and series.resample is not None)]
    if not chosen:
        raise refusal(opened[0])
    return [(_series_name(path, series, alone=len(chosen) == 1), series) for series in chosen]


def _read_and_work(name: str, series: SeriesInfo, work: Callable[[Case, str], int]) -> int:
    case = run_job(read_series(series, series.resample), f"Reading {name}")
    if case.source.resampled is not None:
        note(f"{name}: {case.source.resampled.note}")
    return work(case, name)


def _series_name(path: Path, series: SeriesInfo, alone: bool) -> str:
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    return folder.name if alone else series.files[0].resolve().parent.name


def free_name(name: str, taken: set[str]) -> str:
    """`name`, or with a number behind it that makes it unique, also where case doesn't count; it is then taken."""
    free, n = name, 2
    while free.casefold() in taken:
        free, n = f"{name}_{n}", n + 1
    taken.add(free.casefold())
    return free


@dataclass(frozen=True)
class Written:
    """What was written for a case: kinds of files, how many structures were found, and what the user should know."""

    kinds: tuple[str, ...]
    found: int
    notes: tuple[str, ...]


def write_results(case: Case, structures: Sequence[Structure], folder: Path, formats: Sequence[str] | None) -> Written:
    """Write what a model found into a case's folder, in each of `formats` that the image allows.

    Raises
    ------
    UserError : a file can't be written.
    """
    notes = []
    is_dicom = case.source.header is not None
    wanted = list(formats or (("rtstruct", "nifti") if is_dicom else ("nifti",)))
    refused = [kind for kind in wanted if kind in NEEDS_DICOM] if not is_dicom else []
    if refused:
        wanted = [kind for kind in wanted if kind not in refused]
        what = " and ".join(NEEDS_DICOM[kind] for kind in refused)
        instead = "left out" if wanted else "NIfTI masks are written instead"
        notes.append(f"{what} needs DICOM images to refer to; {instead}.")
        wanted = wanted or ["nifti"]
    folder.mkdir(parents=True, exist_ok=True)
    found = [s for s in structures if not s.mask.is_empty]
    missing = [s.name for s in structures if s.mask.is_empty]
    if missing:
        notes.append(f"not found: {', '.join(missing)}.")
    if "rtstruct" in wanted and found:
        from contourdesk.app.dicom_write import write_rtstruct

        write_rtstruct(case, found, folder / RTSTRUCT_NAME)
    for kind in ("seg", "nrrd", "nifti"):
        if kind in wanted and (found or kind == "nifti"):
            path = folder / FILE_NAMES.get(kind, "")  # masks lie in the folder itself
            write_format(kind, case, structures if kind == "nifti" else found, path)
    return Written(tuple(wanted), len(found), tuple(notes))


def _tell(folder: Path, written: Written) -> None:
    for text in written.notes:
        note(f"{folder.name}: {text}")
    say(f"{folder}: {', '.join(written.kinds)}, {written.found} structures")
