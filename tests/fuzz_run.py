"""Read spoilt inputs and say what came of it: refused, right, or wrong.

    python tests/fuzz_run.py [--count 10000] [--first 0] [--number N]

Each input is read in a child process that may not grow by more than `MAX_GROWTH` and must end within `TIMEOUT_S`. What
is read all the same must be what the file says: other libraries (pydicom's own pixels and positions, nibabel, pynrrd)
read the same files and must agree. Exits with 1 when anything is wrong, and names the numbers; ``--number N``
repeats one of them and shows all about it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import logging
import multiprocessing
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

MAX_GROWTH = 400 << 20  # bytes; the inputs are a few kB
TIMEOUT_S = 30
LIMIT = 6 << 30  # of address space, so that a runaway ends in MemoryError
GOOD = ("refused", "same")


class OtherRefuses(Exception):
    """The other library can't read what was read here."""


def attempt(bases: Path, number: int, folder: Path) -> tuple[str, str]:
    """Read spoilt input `number`, made in `folder`; returns the outcome and what there is to say of it."""
    from fuzz_inputs import spoil

    from contourdesk.app.errors import UserError

    kind, done = spoil(bases, number, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = judge(bases, kind, folder)
    except UserError as error:
        return "refused", f"{kind}, {done}: {error}"
    except OtherRefuses as error:
        return "alone", f"{kind}, {done}: {error.__cause__!r}"
    except Exception:  # noqa: BLE001 - this is what is looked for
        return "crash", f"{kind}, {done}:\n{traceback.format_exc()}"
    return ("different" if wrong else "same"), f"{kind}, {done}: {wrong}"


def judge(bases: Path, kind: str, folder: Path) -> str:
    """Read the input in `folder` and compare; an empty text when it is what the file says."""
    from fuzz_inputs import base_case

    if kind in ("rtstruct", "seg", "seg_nrrd"):
        return _structures(kind, next(p for p in folder.rglob("*") if p.is_file()), base_case(bases))
    return _image(bases, kind, folder)


@contextlib.contextmanager
def other_library() -> Iterator[None]:
    """Whatever the other library raises is its refusal."""
    try:
        yield
    except Exception as error:
        raise OtherRefuses from error


def _image(bases: Path, kind: str, folder: Path) -> str:
    """Read the image and compare; an empty text when it is what the file says."""
    from contourdesk.app.dicom_read import read_series
    from contourdesk.app.jobs import run
    from contourdesk.app.opening import open_path

    files = [p for p in folder.rglob("*") if p.is_file()]
    opened = run(open_path(files[0] if len(files) == 1 and kind != "enhanced" else folder))
    if not isinstance(opened, list):
        array, affine = opened.volume.array, opened.volume.grid.affine
        with other_library():
            wanted, placed = _nibabel(files[0]) if kind.startswith("nifti") else _pynrrd(files[0])
        return _compare(array, affine, wanted, placed)
    # Usable ones come first; what isn't usable as it is, is refused here with its reason.
    case = run(read_series(opened[0]))
    if kind == "zip":  # what passes its check sums is what was packed; zipfile also minds two spellings of a name
        files = sorted((bases / "ct").iterdir())
    if kind != "enhanced" and sum(s.slices for s in opened) < len(files) and not case.source.notes:
        return f"{len(files)} files became {[s.slices for s in opened]} slices without a word"
    uids, frames = case.source.image_uids, case.source.image_frames
    with other_library():
        return _against_pydicom(case.volume.array, case.volume.grid.affine, files, uids, frames)


def _against_pydicom(
    array: np.ndarray, affine: np.ndarray, files: list[Path], uids: tuple[str, ...], frames: tuple[int, ...]
) -> str:
    """Every slice against pixels, rescaling and position as pydicom reads them from the file with its UID."""
    from pydicom import dcmread

    by_uid = {}
    for file in files:
        try:
            ds = dcmread(file, force=True)
            by_uid.setdefault(str(ds.get("SOPInstanceUID", "")), []).append(ds)
        except Exception:  # noqa: BLE001 - not read by pydicom: then no slice may come from it
            continue
    for k, uid in enumerate(uids):
        candidates = by_uid.get(uid, []) or [ds for same in by_uid.values() for ds in same]
        reasons = [_one_slice(array[k], affine, k, ds, frames[k] if frames else 0) for ds in candidates]
        if not candidates or all(reasons):
            return f"slice {k}: {reasons or 'no file with its UID'}"
    return ""


def _one_slice(found: np.ndarray, affine: np.ndarray, k: int, ds, frame: int) -> str:
    if frame:
        own = ds.PerFrameFunctionalGroupsSequence[frame - 1]
        shared = ds.SharedFunctionalGroupsSequence[0]

        def group(name: str):
            return getattr(own if name in own else shared, name)[0]

        parts = [group(f"{name}Sequence") for name in ("PlanePosition", "PlaneOrientation", "PixelMeasures")]
        values, pixels = group("PixelValueTransformationSequence"), ds.pixel_array[frame - 1]
    else:
        parts, values, pixels = [ds] * 3, ds, ds.pixel_array
    hu = pixels.astype(np.float64) * float(values.RescaleSlope) + float(values.RescaleIntercept)
    if found.shape != hu.shape or not np.allclose(found, hu, atol=1e-3):
        return f"values differ in {int(np.sum(found != hu)) if found.shape == hu.shape else 'shape'}"
    plane, last = _plane(*parts), [0, found.shape[0] - 1, found.shape[1] - 1, 1]
    off = max(np.abs(affine @ [k, *end[1:]] - plane @ end).max() for end in ([0, 0, 0, 1], last))
    return f"lies {off} mm off" if not off <= 0.02 else ""


def _nibabel(file: Path) -> tuple[np.ndarray, np.ndarray]:
    import nibabel as nib

    image = nib.load(file)
    scale = {1: 1000.0, 2: 1.0, 3: 0.001}.get(int(image.header["xyzt_units"]) & 7, 1.0)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    affine[:3] *= scale
    data = np.asarray(image.dataobj)
    return data.reshape(data.shape[:3]).T, affine[:, [2, 1, 0, 3]]


def _pynrrd(file: Path) -> tuple[np.ndarray, np.ndarray]:
    data, affine, _ = _read_pynrrd(file)
    return data.T, affine


def _read_pynrrd(file: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    """Voxels as pynrrd has them, the affine for them transposed, the header."""
    import nrrd

    # Names of fields may be written in any case; pynrrd only knows the usual one.
    head, end, rest = file.read_bytes().partition(b"\n\n")
    head = re.sub(rb"(?m)^[^:#\n]*:(?!=)", lambda name: name[0].lower(), head)
    stream = BytesIO(head + end + rest)
    header = nrrd.read_header(stream)
    data = nrrd.read_data(header, stream, str(file))
    signs = {"left": 1, "right": -1, "posterior": 1, "anterior": -1, "superior": 1, "inferior": -1}
    short = {"lps": "left-posterior-superior", "ras": "right-anterior-superior", "las": "left-anterior-superior"}
    space = header["space"].lower()
    flip = np.diag([signs[w] for w in short.get(space, space).split("-")][:3])
    directions = np.asarray(header["space directions"], float)
    affine = np.eye(4)
    affine[:3, :3] = flip @ directions[~np.isnan(directions).all(axis=1)].T
    affine[:3, 3] = flip @ np.asarray(header["space origin"], float)
    return data, affine[:, [2, 1, 0, 3]], header


def _compare(array: np.ndarray, affine: np.ndarray, wanted: np.ndarray, placed: np.ndarray) -> str:
    """Same voxels at the same places, whatever way the array is stored."""
    if sorted(array.shape) != sorted(wanted.shape):
        return f"shape {array.shape}, and another library has {wanted.shape}"
    index = np.argwhere(np.ones(array.shape, bool)).astype(float)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    other = np.floor((points - placed[:3, 3]) @ np.linalg.inv(placed[:3, :3]).T + 0.5).astype(int)
    if ((other < 0) | (other >= wanted.shape)).any():
        return "voxels lie elsewhere than another library has them"
    off = np.abs(other @ placed[:3, :3].T + placed[:3, 3] - points).max()
    if not off <= 0.01 + 1e-5 * np.abs(points).max():
        return f"voxels lie {off:.3g} mm from where another library has them"
    same = np.isclose(array.ravel().astype(float), wanted[tuple(other.T)].astype(float), rtol=1e-5, equal_nan=True)
    return "" if same.all() else f"{int((~same).sum())} voxels differ"


def _structures(kind: str, path: Path, case) -> str:
    from contourdesk.app.masks_read import read_structures

    structures, notes = read_structures(path, case)
    with other_library():
        if kind == "rtstruct":
            return _contours(path, structures, notes)
        wanted = _segments(path, case) if kind == "seg" else _layers(path, case)
    found = [s.mask.dense(case.volume.grid.shape) for s in structures]
    if sorted(m.tobytes() for m in found if m.any()) == sorted(m.tobytes() for m in wanted if m.any()):
        return ""
    return f"{[int(m.sum()) for m in found]} voxels, another library has {[int(m.sum()) for m in wanted]}, or elsewhere"


def _contours(path: Path, structures, notes) -> str:
    """Every contour's points must stand in the file as they were read, and none be lost without a word."""
    from pydicom import dcmread

    known = collections.Counter()
    for item in dcmread(path).get("ROIContourSequence") or ():
        for contour in item.get("ContourSequence") or ():
            with contextlib.suppress(AttributeError, ValueError, TypeError):  # then none must have been read
                known[tuple(float(v) for v in contour.ContourData)] += 1
    for s in structures:
        for contour in s.contours or ():
            points = tuple(contour.points_lps.ravel().tolist())
            if not known[points]:
                return f"{s.name} has a contour that isn't in the file: {points[:6]}"
            known[points] -= 1
    return f"{known.total()} contours were not read" if known.total() and not notes else ""


def _segments(path: Path, case) -> list[np.ndarray]:
    """Each segment's voxels on the case's grid, by pydicom's pixels and positions."""
    from pydicom import dcmread

    ds = dcmread(path)
    out = collections.defaultdict(lambda: np.zeros(case.volume.grid.shape, bool))
    pixels = np.atleast_3d(ds.pixel_array) if int(ds.get("NumberOfFrames", 1)) > 1 else ds.pixel_array[None]
    shared = (ds.get("SharedFunctionalGroupsSequence") or [None])[0]
    for frame, groups in zip(pixels, ds.PerFrameFunctionalGroupsSequence, strict=False):

        def group(name: str, groups=groups):
            return getattr(groups if name in groups else shared, name)[0]

        number = int(group("SegmentIdentificationSequence").ReferencedSegmentNumber)
        affine = _plane(
            group("PlanePositionSequence"), group("PlaneOrientationSequence"), group("PixelMeasuresSequence")
        )
        out[number] |= _on_grid(frame[None] != 0, affine, case.volume.grid)
    return list(out.values())


def _layers(path: Path, case) -> list[np.ndarray]:
    """Each segment's voxels on the case's grid, by pynrrd and the segments' labels and layers."""
    data, affine, header = _read_pynrrd(path)
    if data.ndim == 3:
        data = data[None]
    out = []
    for key, value in header.items():
        if key.startswith("Segment") and key.endswith("_LabelValue"):
            layer = int(header.get(key.replace("LabelValue", "Layer"), 0))
            out.append(_on_grid(int(value) == data[layer].T, affine, case.volume.grid))
    return out


def _plane(place, orientation, spacing) -> np.ndarray:
    """(4, 4): index (0, row, column) to LPS mm, by three Datasets."""
    cosines, affine = np.array(orientation.ImageOrientationPatient, float), np.eye(4)
    affine[:3, 0] = np.cross(cosines[:3], cosines[3:])
    affine[:3, 1], affine[:3, 2] = cosines[3:] * spacing.PixelSpacing[0], cosines[:3] * spacing.PixelSpacing[1]
    affine[:3, 3] = np.array(place.ImagePositionPatient, float)
    return affine


def _on_grid(bits: np.ndarray, affine: np.ndarray, grid) -> np.ndarray:
    """Bits (z, y, x) at the places of another grid; what lies off it is left out."""
    points = np.argwhere(bits) @ affine[:3, :3].T + affine[:3, 3]
    index = np.floor((points - grid.affine[:3, 3]) @ np.linalg.inv(grid.affine[:3, :3]).T + 0.5).astype(int)
    index = index[((index >= 0) & (index < grid.shape)).all(axis=1)]
    out = np.zeros(grid.shape, bool)
    out[tuple(index.T)] = True
    return out


def memory_now() -> int:
    """Bytes that this process holds; `memory_peak` counts from here. ru_maxrss would begin with the parent's peak."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def memory_peak() -> int:
    """The most bytes that this process held since `memory_now`."""
    return _status("VmHWM")


def _status(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def _work(bases: Path, numbers: Connection) -> None:
    """Child process: numbers come in, outcomes go out."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (number := numbers.recv()) is not None:
        with tempfile.TemporaryDirectory() as folder:
            before, start = memory_now(), time.perf_counter()
            outcome, text = attempt(bases, number, Path(folder))
            grown, kept = memory_peak() - before, memory_now() - before
        if grown > MAX_GROWTH:
            outcome, text = "memory", f"{text} grew by {grown >> 20} MB"
        numbers.send((outcome, text, time.perf_counter() - start, grown, kept))


class Reader:
    """One child process that reads spoilt inputs; a new one when it hangs or dies."""

    def __init__(self, bases: Path) -> None:
        self._bases = bases
        self._process: multiprocessing.Process | None = None
        self.slowest, self.most_growth, self.growth = (0.0, -1), (0, -1), 0  # s, bytes, and which number; bytes kept

    def read(self, number: int) -> tuple[str, str]:
        """The outcome of one input."""
        if self._process is None:
            here, there = multiprocessing.Pipe()
            context = multiprocessing.get_context("spawn")
            self._process = context.Process(target=_work, args=(self._bases, there), daemon=True)
            self._process.start()
            there.close()
            self._pipe = here
            self._pipe.send(0)  # the first one pays for the imports
            if self._pipe.poll(300):
                self._pipe.recv()
        try:
            self._pipe.send(number)
            if self._pipe.poll(TIMEOUT_S):
                outcome, text, seconds, grown, kept = self._pipe.recv()
                self.slowest = max(self.slowest, (seconds, number))
                self.most_growth = max(self.most_growth, (grown, number))
                self.growth += kept
                return outcome, text
            outcome = "hang", f"more than {TIMEOUT_S} s"
        except (EOFError, OSError) as error:
            outcome = "died", repr(error)
        self.close()
        return outcome

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def main() -> int:
    """Read many, or one; see the module."""
    from fuzz_inputs import make_bases

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("--count", 10_000), ("--first", 0)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--number", type=int, help="one input alone, in this process")
    options, bases = parser.parse_args(), Path(tempfile.mkdtemp(prefix="contourdesk-fuzz-"))
    try:
        make_bases(bases)
        if options.number is not None:
            (bases / "one").mkdir()
            print(*attempt(bases, options.number, bases / "one"), sep="\n")
            return 0
        return _many(bases, range(options.first, options.first + options.count))
    finally:
        shutil.rmtree(bases)


def _many(bases: Path, numbers: range) -> int:
    from fuzz_inputs import KINDS

    reader = Reader(bases)
    table: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in KINDS}
    try:
        for number in numbers:
            outcome, text = reader.read(number)
            table[KINDS[number % len(KINDS)]][outcome] += 1
            if outcome not in GOOD:
                print(f"--- {number} {outcome} {text}", flush=True)
    finally:
        reader.close()
    total = sum(table.values(), collections.Counter())
    for kind, outcomes in (*table.items(), ("all", total)):
        print(f"{kind:12}", *(f"{outcome} {count:6}" for outcome, count in sorted(outcomes.items())))
    (seconds, slow), (most, big), kept = reader.slowest, reader.most_growth, reader.growth
    print(f"longest {seconds:.2f} s ({slow}); most memory {most / 1e6:.1f} MB ({big}), kept {kept / 1e6:.1f} MB")
    return 0 if set(total) <= set(GOOD) else 1


if __name__ == "__main__":
    sys.exit(main())
