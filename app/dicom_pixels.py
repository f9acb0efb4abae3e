"""The pixels of a stack of slices to a `Case` in HU."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from contourdesk.app.archives import archive_of
from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.dicom_headers import DAMAGE, Header, tag_words
from contourdesk.app.dicom_series import Stack
from contourdesk.app.dicom_stored import COPY_AGAIN, open_pixels, read_stored
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import Job, Look, Progress
from contourdesk.app.volume import Volume

_PIXEL_GROUP = 0x7FE00000
_INT16 = np.iinfo(np.int16)
_MOST_THREADS = 8
_AT_ONCE = 4  # slices to a task; of compressed ones, which take long, one
_TEXT = "Reading images"
_SOFT_TISSUE = (40.0, 400.0)

_Task = list[tuple[int, Header]]


class _BeyondInt16(Exception):
    """A slice has values that int16 can't hold."""


def read_image(stack: Stack, uid: str, notes: Sequence[str]) -> Job[Case]:
    """Read every slice into one array, (slice, row, column) in HU; int16 where that is exact, else float32.

    Raises
    ------
    UserError : a file is damaged or differs from what its header said; names it.
    """
    affine, headers = stack.layout.affine, stack.headers
    if affine is None:
        raise ValueError("the stack has problems")
    yield Progress(0, len(headers), _TEXT, look=_middle_look(headers))
    try:
        whole = all(float(v).is_integer() for h in headers for v in _rescale(h))
        array: NDArray[np.generic] = np.empty(stack.shape, np.int16 if whole else np.float32)
        yield from _fill(array, headers)
    except _BeyondInt16:
        # Rare, so it may cost a second reading; holding both arrays would cost half as much memory again.
        array = np.empty(stack.shape, np.float32)
        yield from _fill(array, headers)
    yield Progress(len(headers), len(headers), _TEXT)
    grid = Grid(stack.shape, affine, headers[0].text("FrameOfReferenceUID"))
    padding = _padding(headers)
    if padding is None and headers[0].has("PixelPaddingValue"):
        notes = (*notes, "The padding value differs from slice to slice, so padding isn't marked.")
    low, high = padding or (None, None)
    volume = Volume(grid, array, "HU", _window(headers[0]), low, high)
    return _case(stack, uid, notes, volume)


def _case(stack: Stack, uid: str, notes: Sequence[str], volume: Volume) -> Case:
    head = stack.headers[0]
    frames = tuple(h.frame for h in stack.headers)
    source = Source(
        path=archive_of(head.path) or head.path.parent,
        series_uid=uid,
        study_uid=head.text("StudyInstanceUID"),
        modality=head.text("Modality"),
        description=head.text("SeriesDescription") or head.text("StudyDescription"),
        date=head.text("SeriesDate") or head.text("AcquisitionDate") or head.text("StudyDate"),
        image_uids=tuple(h.text("SOPInstanceUID") for h in stack.headers),
        image_class_uids=tuple(h.text("SOPClassUID") for h in stack.headers),
        image_frames=frames if any(frames) else (),
        header=whole_header(head),
        notes=tuple(notes),
    )
    patient = Patient(*(head.text(k) for k in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")))
    return Case(patient, volume, source)


def look_at(header: Header, text: str) -> Look:
    """Read one slice as a picture. Raises UserError."""
    with open_pixels(header) as stream:
        stored = read_stored(header, stream)
    return _look(stored, header, text)


def _look(stored: NDArray[np.generic], header: Header, text: str) -> Look:
    (slope, intercept), (centre, width) = _rescale(header), _window(header) or _SOFT_TISSUE
    hu = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    grey = np.clip((hu - (centre - width / 2)) * (255 / width), 0, 255).astype(np.uint8)
    spacing = header.numbers("PixelSpacing", 2)
    return Look(grey, (1.0, 1.0) if spacing is None else (float(spacing[0]), float(spacing[1])), text)


def _middle_look(headers: Sequence[Header]) -> Look | None:
    """The middle slice as a picture, before all others; None where it can't be had alone."""
    middle = headers[len(headers) // 2]
    if middle.frame or archive_of(middle.path) is not None:
        return None
    try:
        return look_at(middle, f"Slice {len(headers) // 2 + 1} of {len(headers)}")
    except UserError:
        return None  # reading the slices meets it again, and says so


def _fill(array: NDArray[np.generic], headers: Sequence[Header]) -> Job[None]:
    """Read all slices into `array`, in several threads: decoding and reading let each other run."""
    stop = threading.Event()
    finished: list[int] = []
    workers = min(_MOST_THREADS, 2 + (os.cpu_count() or 1))  # some of them wait for the disk or the network
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-image")
    try:
        futures = [pool.submit(_read_task, array, task, finished, stop) for task in _tasks(headers)]
        for future in futures:
            yield Progress(len(finished), len(headers), _TEXT)
            while not _ended(future):
                yield Progress(len(finished), len(headers), _TEXT)
            future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _ended(future: Future[None]) -> bool:
    try:
        future.exception(timeout=0.1)
    except TimeoutError:
        return future.done()
    return True


def _tasks(headers: Sequence[Header]) -> Iterator[_Task]:
    """Slices to read together: of one file in the order in which they lie there."""
    order = sorted(range(len(headers)), key=lambda k: (headers[k].path, headers[k].frame))
    for path, numbers in groupby(order, key=lambda k: headers[k].path):
        task = [(k, headers[k]) for k in numbers]
        pixels = task[0][1].pixels
        # What is packed as a whole is unpacked from its beginning each time that it is opened.
        packed = len(task) > 1 and pixels is not None and (pixels.deflated_from > 0 or archive_of(path) is not None)
        at_once = len(task) if packed else 1 if pixels is not None and pixels.fragments is not None else _AT_ONCE
        for i in range(0, len(task), at_once):
            yield task[i : i + at_once]


def _read_task(array: NDArray[np.generic], task: _Task, finished: list[int], stop: threading.Event) -> None:
    """Read slices of one file into their places. Raises UserError, and _BeyondInt16."""
    with open_pixels(task[0][1]) as stream:
        for k, header in task:
            if stop.is_set():
                return
            _put_hu(array[k], read_stored(header, stream), header)
            finished.append(k)


def _put_hu(out: NDArray[np.generic], stored: NDArray[np.generic], header: Header) -> None:
    """Stored values in HU into `out`, (row, column) int16 or float32."""
    slope, intercept = _rescale(header)
    if out.dtype == np.float32:
        out[...] = stored.astype(np.float64) * slope + intercept
        return
    ends = int(stored.min()) * int(slope) + int(intercept), int(stored.max()) * int(slope) + int(intercept)
    if not _INT16.min <= min(ends) <= max(ends) <= _INT16.max:
        raise _BeyondInt16
    # Modulo 65536 every step is exact, because the result is known to fit.
    low_bits = stored.view(np.uint16) if stored.dtype.itemsize == 2 else stored.astype(np.uint16)
    target = out.view(np.uint16)
    if slope != 1:
        low_bits = low_bits * np.uint16(int(slope) % 65536)
    np.add(low_bits, np.uint16(int(intercept) % 65536), out=target)


def _rescale(header: Header) -> tuple[float, float]:
    """Slope and intercept. Raises UserError."""
    factors = []
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        value = header.numbers(keyword, 1)
        if value is None:
            raise UserError(f"{header.name} has no usable {tag_words(keyword)}.", COPY_AGAIN)
        factors.append(float(value[0]))
    return factors[0], factors[1]


def whole_header(head: Header) -> Dataset:
    """All attributes of the first slice's file but its pixels. Raises UserError."""
    pixels = head.pixels
    if pixels is None:
        raise ValueError("not an image")
    encoding = pixels.encoding
    try:
        with open_pixels(head) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pydicom about character sets that don't exist
            stream.seek(pixels.dataset_start)
            dataset = read_dataset(
                stream, not encoding.explicit, encoding.little, stop_when=lambda tag, vr, length: tag >= _PIXEL_GROUP
            )
    except DAMAGE as error:
        raise UserError(f"{head.name} can't be read; it may be damaged.", COPY_AGAIN) from error
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(pixels.syntax)
    return dataset


def _window(head: Header) -> tuple[float, float] | None:
    """The file's first window as (centre, width), None when it makes no sense."""
    # A list of windows is offered as alternatives; the first is the default.
    centre, width = head.first_number("WindowCenter"), head.first_number("WindowWidth")
    return (centre, width) if centre is not None and width is not None and width >= 1 else None


def _padding(headers: Sequence[Header]) -> tuple[float, float] | None:
    """The padding value and the other end of its range in HU, lower first; None where there is none for all slices."""
    found = {_padding_of(header) for header in headers}
    return found.pop() if len(found) == 1 else None


def _padding_of(header: Header) -> tuple[float, float] | None:
    value = header.first_number("PixelPaddingValue")
    if value is None:
        return None
    slope, intercept = _rescale(header)
    limit = header.first_number("PixelPaddingRangeLimit")
    ends = [_as_stored(v, header) * slope + intercept for v in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _as_stored(value: float, header: Header) -> float:
    """The padding value in the pixels' own sign: it is written either signed or not, whatever the pixels are."""
    bits = int(header.number("BitsAllocated", 16))
    signed = header.number("PixelRepresentation", 0) == 1
    if signed and value >= 2 ** (bits - 1):
        return float(value - 2**bits)
    return float(value + 2**bits) if not signed and value < 0 else value
